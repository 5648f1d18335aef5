"""Fetches in processes of their own, each with its own environment and a huggingface_hub that is not yet imported.

A fork server has imported torch once, so that a process costs milliseconds.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Mapping
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

from adept_hub.checkpoint import read_tensors
from adept_hub.errors import AdeptError
from adept_hub.fetch import FetchOptions, fetch

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload([__name__])


def _child(pipe: Connection, environment: Mapping[str, str | None], source: str, cache: str | None) -> None:
    os.environ.update({key: value for key, value in environment.items() if value is not None})
    for key in (key for key, value in environment.items() if value is None):
        os.environ.pop(key, None)
    if "IMPATIENT" in environment:
        time.sleep = lambda seconds: None  # the client's patience between attempts, not the client
    try:
        fetched = fetch(source, FetchOptions(cache_dir=cache))
        pipe.send(str(len(read_tensors(fetched.folder, fetched.config))))
    except AdeptError as error:
        pipe.send(f"{type(error).__name__}: {error}")


class Fetching:
    """One fetch under way."""

    def __init__(self, source: str, cache: Path | None = None, **environment: str | None) -> None:
        self.pipe, theirs = _context.Pipe(duplex=False)
        arguments = (theirs, dict(os.environ) | environment, source, None if cache is None else str(cache))
        self.process: BaseProcess = _context.Process(target=_child, args=arguments)
        self.process.start()
        theirs.close()

    def outcome(self) -> str:
        """The number of tensors that arrived, or the error."""
        answer = str(self.pipe.recv())
        self.process.join()
        return answer
