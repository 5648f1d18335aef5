"""What the loopback Hub holds: repositories, their commits, and the faults that it was told to have."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.hub.loopback_handler import Handler


OWNER = "hf_owner"  # a token that may do everything in every namespace


LFS_FROM = 1 << 20  # bytes, and every *.safetensors, as in the Hub's own .gitattributes


PART = 16 << 20


@dataclass
class Commit:
    files: dict[str, bytes]
    parent: str | None
    message: str = ""


@dataclass
class Repo:
    private: bool = False
    gated: bool = False
    commits: dict[str, Commit] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)

    def add(self, ref: str, files: dict[str, bytes], message: str = "", parent: str | None = None) -> str:
        """A commit on a branch; its SHA depends on everything in it and on the order of commits."""
        digest = hashlib.sha1(f"{len(self.commits)} {ref} {message}".encode())
        for path in sorted(files):
            digest.update(path.encode() + hashlib.sha1(files[path]).digest())
        sha = digest.hexdigest()
        self.commits[sha] = Commit(dict(files), parent, message)
        self.refs[ref] = sha
        return sha

    def find(self, revision: str) -> str | None:
        return self.refs.get(revision) or (revision if revision in self.commits else None)


@dataclass
class Fault:
    """What happens to the next ``times`` requests that match, instead of or on top of the answer."""

    pattern: str
    times: int = 1
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    cut_after: int = -1
    wait: float = 0.0
    change: Callable[[bytes], bytes] | None = None
    #: Headers of an answer that is given otherwise as it should be.
    announce: dict[str, str] = field(default_factory=dict)
    #: Writes the answer to a GET of content itself; see `tests.hub.lies`.
    lie: Callable[[Handler, bytes], None] | None = None
