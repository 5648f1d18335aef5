"""The grammar of a source: a name, ``hf-hub:org/repo[@revision]``, ``local-dir:PATH`` or a path."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from adept_hub.errors import SourceError

_NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z0-9][a-z0-9_]*)?")
_REPO = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_REVISION = re.compile(r"[A-Za-z0-9][\w./-]*")


@dataclass(frozen=True)
class NamedSource:
    """``architecture`` or ``architecture.tag``, as in timm."""

    name: str


@dataclass(frozen=True)
class HubSource:
    """A repository on the Hugging Face Hub; ``revision`` is a branch, tag or commit."""

    repo: str
    revision: str | None = None


@dataclass(frozen=True)
class LocalSource:
    """A checkpoint folder on this machine."""

    path: Path


Source = NamedSource | HubSource | LocalSource


def split_name(name: str) -> tuple[str, str]:
    """Architecture and tag of a name; the tag is empty where the name has none."""
    architecture, _, tag = name.partition(".")
    return architecture, tag


def parse_source(text: str | os.PathLike[str]) -> Source:
    """What a user typed, understood.

    A path object, or text that begins with ``.``, ``~`` or ``/``, holds a separator or is an existing folder, is a
    path; anything else without a scheme is a name.

    Raises:
        SourceError: none of the four forms.
    """
    if isinstance(text, os.PathLike):
        return LocalSource(Path(text).expanduser())
    scheme, _, rest = text.partition(":")
    if scheme == "hf-hub" and rest:
        return _hub(rest, text)
    if scheme == "local-dir" and rest:
        return LocalSource(Path(rest).expanduser())
    if text[:1] in {".", "~"} or os.sep in text or (os.altsep and os.altsep in text) or Path(text).is_dir():
        return LocalSource(Path(text).expanduser())
    if _NAME.fullmatch(text):
        return NamedSource(text)
    raise SourceError(
        f"{text!r} is no source.\n"
        "A source is a name (adept list), hf-hub:org/repo[@revision], local-dir:PATH or a checkpoint folder."
    )


def _hub(rest: str, text: str) -> HubSource:
    repo, at, revision = rest.partition("@")
    traversal = ".." in repo.replace("/", ".").split(".") or ".." in revision
    if not _REPO.fullmatch(repo) or (at and not _REVISION.fullmatch(revision)) or traversal:
        raise SourceError(f"{text!r} is no Hub source.\nIts form is hf-hub:org/repo or hf-hub:org/repo@revision.")
    return HubSource(repo, revision or None)
