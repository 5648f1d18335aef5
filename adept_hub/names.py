"""The grammar of a source: a name, ``hf-hub:org/repo[@revision]``, ``LAYOUT:FILE``, ``local-dir:PATH`` or a path."""

from __future__ import annotations

import os
import re
import reprlib
from pathlib import Path
from typing import NamedTuple

from adept_hub.errors import SourceError
from adept_hub.words.spelling import did_you_mean

_NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z0-9][a-z0-9_]*)?", re.ASCII)
_REPO = re.compile(r"(?!.*(--|\.\.)|.*\.git$)\w([\w.-]{0,94}\w)?/\w([\w.-]{0,94}\w)?", re.ASCII)  # the Hub's own rules
_REVISION = re.compile(r"[A-Za-z0-9][\w./-]*", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_LONGEST = 200
#: A word in front of a colon; that of a Windows drive is one letter.
_PREFIX = re.compile(r"([A-Za-z][\w-]+):", re.ASCII)

#: The layouts of `adept_hub.foreign.projects.FOREIGN_LAYOUTS`, which imports torch.
LAYOUTS = (
    "torchvision", "timm", "byol", "simclr", "densecl", "detco", "resnet", "vissl", "simclr-v2", "byol-pytorch",
    "detectron2-backbone", "moco", "moco-v3", "swav", "openselfsup", "soco", "soco-target", "aligndet",
    "aligndet-detector", "torchvision-detector", "torchvision-coco-v1", "detectron2-detector",
    "detectron2-detector-rgb", "mmdet-detector", "mmdet-detector-caffe",
)  # fmt: skip
#: Suffixes of weights files; any other file is not read.
WEIGHT_FILES = (".pth", ".pt", ".pyth", ".pkl", ".bin", ".ckpt", ".torch", ".tar", ".safetensors")


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


class FileSource(NamedTuple):
    """Another project's weights file, or a folder of timm; ``layout`` is one of `LAYOUTS`."""

    path: Path
    layout: str


Source = NamedSource | HubSource | LocalSource | FileSource


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

    A path object, or text that begins with ``.``, ``~`` or ``/``, contains a separator, ends in the suffix of a weights
    file, or is an existing folder or file, is a path. A word and a colon in front of anything that does not exist as a
    whole are a layout: ``moco:ckpt.pth`` is the file ``ckpt.pth``, unless there is a file ``moco:ckpt.pth``;
    ``moco:./ckpt.pth`` and ``./moco:ckpt.pth`` are always the one and the other. The drive of a Windows path is one
    letter and not a layout.
    Anything else without a scheme is a name.

    Raises:
        SourceError: the text has none of the five forms, or the layout is unknown.

    Example:
        >>> parse_source("hf-hub:timm/resnet50.a1_in1k")
        HubSource(repo='timm/resnet50.a1_in1k', revision=None)
        >>> parse_source("moco-v3:r50.pth").layout
        'moco-v3'
    """
    if isinstance(text, os.PathLike):
        return LocalSource(_path(os.fspath(text)))
    scheme, _, rest = text.partition(":")
    if scheme == "hf-hub" and rest:
        return _hub(rest, text)
    if scheme == "local-dir" and rest:
        return LocalSource(_path(rest))
    if rest and _PREFIX.match(text) and not _is_there(text):
        return _file(scheme, rest, text)
    is_path = text[:1] in {".", "~"} or os.sep in text or (os.altsep and os.altsep in text) or _is_there(text)
    if is_path or text.lower().endswith(WEIGHT_FILES):
        return LocalSource(_path(text))
    if is_name(text):
        return NamedSource(text)
    raise SourceError(
        f"{reprlib.repr(text)} is not a valid source.\n"
        "A source is a name (adept list), hf-hub:org/repo[@revision], a path, or LAYOUT:FILE (such as moco:ckpt.pth)."
    )


def text_of(source: Source) -> str:
    """Return the text that `parse_source` parses to ``source``; a name unless a file of that name exists.

    Example:
        >>> text_of(FileSource(Path("ckpt.pth"), "moco"))
        'moco:ckpt.pth'
    """
    if isinstance(source, NamedSource):
        return source.name
    if isinstance(source, HubSource):
        return f"hf-hub:{source.repo}" + (f"@{source.revision}" if source.revision is not None else "")
    prefix, path = ("local-dir" if isinstance(source, LocalSource) else source.layout), str(source.path)
    plain = f"{prefix}:{path}"
    # A folder named "~", and a file whose name begins like a layout.
    hidden = path.startswith("~") or (isinstance(source, FileSource) and _is_there(plain))
    return f"{prefix}:./{path}" if hidden else plain


def split_layout(text: str | os.PathLike[str], layout: str | None) -> tuple[Path, str | None]:
    """Split the file of an option that takes ``FILE`` or ``LAYOUT:FILE`` next to an option for the layout.

    Args:
        text: the file, as typed.
        layout: the value of the other option.

    Returns:
        The path, and the layout of either; None if both are silent.

    Raises:
        SourceError: the text has an unknown layout, or another one than the option.
    """
    text = os.fspath(text)
    if not _PREFIX.match(text) or _is_there(text):
        return _path(text), layout
    source = parse_source(text)
    if not isinstance(source, FileSource):
        return _path(text), layout
    if layout is not None and layout != source.layout:
        raise SourceError(
            f"{reprlib.repr(text)} has the layout {source.layout}, and --layout is {layout}.\nSpecify only one of them."
        )
    return source.path, source.layout


def _file(layout: str, rest: str, text: str) -> FileSource:
    if rest.startswith("//"):
        raise SourceError(
            f"{reprlib.repr(text)} is a URL, which is not a source.\n"
            "Download the file and specify its path; repositories on the Hub are hf-hub:org/repo."
        )
    if layout not in LAYOUTS:
        what = reprlib.repr(layout)
        raise SourceError(
            f"{reprlib.repr(text)} does not exist, and {what} is not a layout.{did_you_mean(layout, LAYOUTS)}\n"
            f"The form is LAYOUT:FILE, such as moco:ckpt.pth; layouts: {', '.join(LAYOUTS)}."
        )
    return FileSource(_path(rest), layout)


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
        return Path(text).expanduser() if text.startswith("~") else Path(text)  # ./~ is a folder of that name
    except RuntimeError as error:
        raise SourceError(f"{reprlib.repr(text)} is not a valid path: {error}") from error


def _is_there(text: str) -> bool:
    return bool(text) and os.path.lexists(text)  # broken links too: opening one reports the reason
