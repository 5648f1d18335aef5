"""The Hub's HTTP protocol on this machine, for the real client: repositories, LFS, commits, resolve, and trouble.

It follows what huggingface_hub sends and expects, and the Hub's public description of its API. Trouble is ordered by
`Hub.fault`: refusals, cut and slow answers, changed bodies.
"""

from __future__ import annotations

import re
import ssl
import threading
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.hub.loopback_handler import Handler
from tests.hub.loopback_state import Fault, Repo


class Hub:
    """State of the server; thread-safe by one lock."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.lock = threading.RLock()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.hub = self  # type: ignore[attr-defined]  # the handler's way to it
        if context is not None:
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        scheme = "http" if context is None else "https"
        self.endpoint = f"{scheme}://127.0.0.1:{self.server.server_port}"
        self.cdn = f"{scheme}://localhost:{self.server.server_port}"
        self.thread: threading.Thread | None = None
        self.reset()

    def reset(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.lfs: dict[str, bytes] = {}
        self.parts: dict[tuple[str, int], bytes] = {}
        self.faults: list[Fault] = []
        self.log: list[str] = []
        self.seen: list[tuple[str, dict[str, str]]] = []
        #: A folder that hf_xet takes for a Xet storage, and the Xet hashes of files in it by their SHA-256.
        self.xet: Path | None = None
        self.xet_hashes: dict[str, str] = {}

    def start(self) -> None:
        if self.thread is None:
            self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
            self.thread.start()

    def repo(self, name: str, files: dict[str, bytes] | None = None, **options: Any) -> str:
        """Create a repository with one commit; its SHA."""
        self.repos[name] = Repo(**options)
        return self.repos[name].add("main", files or {".gitattributes": b"*.safetensors filter=lfs\n"})

    def fault(self, pattern: str, **options: Any) -> Fault:
        self.faults.append(Fault(pattern, **options))
        return self.faults[-1]

    def requests(self, pattern: str = "") -> list[str]:
        with self.lock:
            return [line for line in self.log if re.search(pattern, line)]
