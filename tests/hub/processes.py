"""Fetches and pushes in processes of their own, each with its own environment and a huggingface_hub not yet imported.

A fork server has imported torch once, so that a process costs milliseconds.
"""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import os
import sys
import time
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import adept_hub
from adept_hub.checkpoint.folder import read_tensors
from adept_hub.errors import AdeptError
from adept_hub.hub.fetch import FetchOptions, fetch
from tests.fork_server import fork_server


def _child(pipe: Connection, environment: Mapping[str, str | None], work: Callable[..., str], args: Any) -> None:
    os.environ.update({key: value for key, value in environment.items() if value is not None})
    for key in (key for key, value in environment.items() if value is None):
        os.environ.pop(key, None)
    if "IMPATIENT" in environment:
        time.sleep = lambda seconds: None  # the client's patience between attempts, not the client
    if "WITHOUT_XET" in environment:
        sys.modules["hf_xet"] = None  # type: ignore[assignment]  # Python's own way to say that it is not installed
        find_spec = importlib.util.find_spec
        importlib.util.find_spec = lambda name, package=None: None if name == "hf_xet" else find_spec(name, package)
        version = importlib.metadata.version
        importlib.metadata.version = functools.partial(_version, version)
    try:
        pipe.send(work(*args))
    except AdeptError as error:
        pipe.send(f"{type(error).__name__}: {error}")


def _version(version: Callable[[str], str], name: str) -> str:
    if name.replace("-", "_") == "hf_xet":
        raise importlib.metadata.PackageNotFoundError(name)
    return version(name)


def _fetch(source: str, cache: str | None) -> str:
    fetched = fetch(source, FetchOptions(cache_dir=cache))
    return str(len(read_tensors(fetched.folder, fetched.config)))


def _push(folder: str, repo: str) -> str:
    return adept_hub.push_to_hub(folder, repo).commit


class _Working:
    """Work under way in a process of its own."""

    def __init__(self, work: Callable[..., str], args: tuple[Any, ...], environment: Mapping[str, str | None]) -> None:
        context = fork_server(__name__)
        self.pipe, theirs = context.Pipe(duplex=False)
        arguments = (theirs, dict(os.environ) | dict(environment), work, args)
        self.process: BaseProcess = context.Process(target=_child, args=arguments)
        self.process.start()
        theirs.close()

    def outcome(self) -> str:
        """What the work gave, or the error."""
        answer = str(self.pipe.recv())
        self.process.join()
        return answer


class Fetching(_Working):
    """One fetch under way; its outcome is the number of tensors that arrived."""

    def __init__(self, source: str, cache: Path | None = None, **environment: str | None) -> None:
        super().__init__(_fetch, (source, None if cache is None else str(cache)), environment)


class Pushing(_Working):
    """One push under way; its outcome is the commit."""

    def __init__(self, folder: Path, repo: str, **environment: str | None) -> None:
        super().__init__(_push, (str(folder), repo), environment)
