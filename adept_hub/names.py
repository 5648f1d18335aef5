"""The grammar of a source: a name, ``hf-hub:org/repo[@revision]``, ``local-dir:PATH`` or a path."""

from __future__ import annotations

import os
import re
import reprlib
from pathlib import Path
from typing import NamedTuple

from adept_hub.errors import SourceError

_NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z0-9][a-z0-9_]*)?", re.ASCII)
_REPO = re.compile(r"(?!.*(--|\.\.)|.*\.git$)\w([\w.-]{0,94}\w)?/\w([\w.-]{0,94}\w)?", re.ASCII)  # the Hub's own rules
_REVISION = re.compile(r"[A-Za-z0-9][\w./-]*", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_LONGEST = 200


class NamedSource(NamedTuple):
    """``architecture`` or ``architecture.tag``, as in timm."""

    name: str


class HubSource(NamedTuple):
    """A repository on the Hugging Face Hub; ``revision`` is a branch, tag or commit."""

    repo: str
    revision: str | None = None


class LocalSource(NamedTuple):
    """A checkpoint folder on this machine."""

    path: Path


Source = NamedSource | HubSource | LocalSource


def split_name(name: str) -> tuple[str, str]:
    """Split a name into architecture and tag; the tag may be empty."""
    architecture, _, tag = name.partition(".")
    return architecture, tag


def is_name(text: str) -> bool:
    """Check for the form ``architecture`` or ``architecture.tag``: lower case, digits and ``_``."""
    return len(text) <= _LONGEST and _NAME.fullmatch(text) is not None


def is_commit(revision: str | None) -> bool:
    """Check for a full commit SHA, whose content never changes."""
    return revision is not None and _COMMIT.fullmatch(revision) is not None


def check_revision(revision: str) -> str:
    """Return the revision if it can be a branch, tag or commit.

    Raises:
        SourceError: it cannot.
    """
    if len(revision) > _LONGEST or ".." in revision or not _REVISION.fullmatch(revision):
        raise SourceError(
            f"{revision[:_LONGEST]!r} is not a valid revision.\nA revision is a branch, a tag or a commit SHA."
        )
    return revision


def check_repo(repo: str) -> str:
    """Return the repository's name if it has the form ``org/name``.

    Raises:
        SourceError: it does not.
    """
    if not _REPO.fullmatch(repo):
        raise SourceError(f"{repo[:_LONGEST]!r} is not a valid repository name.\nThe form is org/name.")
    return repo


def parse_source(text: str | os.PathLike[str]) -> Source:
    """Parse a source as a user typed it.

    A path object, or text that begins with ``.``, ``~`` or ``/``, contains a separator or is an existing folder or
    file, is a path; anything else without a scheme is a name.

    Raises:
        SourceError: the text has none of the four forms.
    """
    if isinstance(text, os.PathLike):
        return LocalSource(_path(os.fspath(text)))
    scheme, _, rest = text.partition(":")
    if scheme == "hf-hub" and rest:
        return _hub(rest, text)
    if scheme == "local-dir" and rest:
        return LocalSource(_path(rest))
    if text[:1] in {".", "~"} or os.sep in text or (os.altsep and os.altsep in text) or _is_there(text):
        return LocalSource(_path(text))
    if is_name(text):
        return NamedSource(text)
    raise SourceError(
        f"{reprlib.repr(text)} is not a valid source.\n"
        "A source is a name (adept list), hf-hub:org/repo[@revision], local-dir:PATH, a checkpoint folder or a run."
    )


def _hub(rest: str, text: str) -> HubSource:
    repo, at, revision = rest.partition("@")
    try:
        check_repo(repo)
        if at:
            check_revision(revision)
    except SourceError:
        raise SourceError(
            f"{reprlib.repr(text)} is not a valid Hub source.\nThe form is hf-hub:org/repo or hf-hub:org/repo@revision."
        ) from None
    return HubSource(repo, revision or None)


def _path(text: str) -> Path:
    if "\0" in text:
        raise SourceError(f"{reprlib.repr(text)} is not a valid path: it contains a null character.")
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise SourceError(f"{reprlib.repr(text)} is not a valid path: {error}") from error


def _is_there(text: str) -> bool:
    return bool(text) and os.path.lexists(text)  # broken links too: opening one reports the reason
