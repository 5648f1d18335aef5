"""Open images of folders, lists of paths and WebDataset shards."""

from __future__ import annotations

import codecs
import logging
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from adept_hub.arguments.calls import checked
from adept_hub.errors import ImageDecodeError, ImagesError
from adept_hub.images.files import IMAGE_SUFFIXES, check_bytes, key_of, name_of, read_file, search
from adept_hub.io.archives import read_span, tar_members
from adept_hub.io.paths import exists, expanded, is_dir, is_file, what_is
from adept_hub.io.read import BoundedReader, read_at_most
from adept_hub.words.text import one_line

_log = logging.getLogger(__name__)

#: Maximum size of a list of paths; ImageNet-22k's has 0.7 GB.
MAX_LIST_BYTES = 2_000_000_000
MAX_SHARDS = 100_000
#: Shards may have any size: only the headers are read, or one member.
_SHARDS = BoundedReader(ImagesError, 1 << 62, remedy="Shards are uncompressed .tar files.")
_SHARD = BoundedReader(ImageDecodeError, 1 << 62)
_BRACES = re.compile(r"\{(\d+)\.\.(\d+)\}")
_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


class ImageSource(Protocol):
    """Images by key: the relative POSIX path, unique within the source."""

    def keys(self) -> list[str]:
        """Return every key, in the order of the source (folders and shards: sorted)."""
        ...

    def read(self, key: str) -> bytes:
        """Read the encoded bytes of one image. Raises ImageDecodeError if they cannot be read."""
        ...

    def subset(self, keys: Sequence[str]) -> ImageSource:
        """Return the source with only these keys: small to pickle, so that it can be sent to a worker."""
        ...


@dataclass(frozen=True)
class FileImages:
    """Files below ``root`` (a folder searched recursively, or the paths of a list)."""

    root: Path
    names: tuple[str, ...]

    def keys(self) -> list[str]:
        return list(self.names)

    def read(self, key: str) -> bytes:
        return read_file(self.root / name_of(key), key)

    def subset(self, keys: Sequence[str]) -> FileImages:
        return FileImages(self.root, tuple(keys))


@dataclass(frozen=True)
class ShardImages:
    """Members of uncompressed WebDataset ``.tar`` shards; keys are ``shard.tar/member``."""

    root: Path
    index: dict[str, tuple[str, int, int]] = field(repr=False)  # key -> shard name, offset and length in bytes

    def keys(self) -> list[str]:
        return list(self.index)

    def read(self, key: str) -> bytes:
        shard, offset, length = self.index[key]
        check_bytes(length, key)
        return read_span(_SHARD, self.root / shard, one_line(key), offset, length)

    def subset(self, keys: Sequence[str]) -> ShardImages:
        return ShardImages(self.root, {key: self.index[key] for key in keys})


@checked
def open_images(where: str | Path) -> ImageSource:
    """Open a folder (searched recursively), a text file of paths, WebDataset shards, or a Hugging Face dataset.

    Shards are a ``.tar`` file, a folder that holds ``.tar`` files and no image files, or a pattern such as
    ``shards/train-{000..031}.tar``. Paths in a text file are relative to that file's folder, or else to the working
    directory. Datasets are written ``hf-datasets:NAME[@REVISION][:SPLIT]`` (see `hugging_face`). Links to folders are
    followed. A name that is not UTF-8 has lone surrogates in its key: it can be read, but not stored in a table.

    Raises:
        ImagesError: the path does not exist, or contains no images.
    """
    if str(where).startswith("hf-datasets:"):
        from adept_training.images.hugging_face import open_hugging_face

        return open_hugging_face(str(where))
    check_images(str(where))
    path = expanded(where, ImagesError)
    if _BRACES.search(path.name) and not exists(path):
        return _open_shards(path.parent, _expand(path.name))
    if exists(path) and path.is_dir():
        return _open_folder(path)
    return _open_shards(path.parent, [path.name]) if path.suffix == ".tar" else _open_list(path)


def check_images(where: str | None) -> None:
    """Check that images exist; None: none were given. Data sets on the Hub are not looked up.

    Raises:
        ImagesError: the path is neither a folder nor a file.
    """
    if where is None or where.startswith("hf-datasets:"):
        return
    path = expanded(where, ImagesError)
    is_pattern = bool(_BRACES.search(path.name))
    if not (is_pattern or is_dir(path) or is_file(path)):
        raise ImagesError(
            f"{one_line(where)} {what_is(path)}.\n"
            "Give a folder of images, a text file of paths, or WebDataset .tar shards."
        )


def _open_folder(root: Path) -> ImageSource:
    entries = search(root)
    if not entries:
        raise ImagesError(f"The folder {root} is empty.\nPut images into it, or give another folder.")
    names = tuple(name for name in entries if name.lower().endswith(IMAGE_SUFFIXES))
    shards = [name for name in entries if name.endswith(".tar")]
    if names:
        if shards:
            _log.warning("%s: %d .tar files next to %d images are ignored", root, len(shards), len(names))
        return FileImages(root, names)
    if shards:
        return _open_shards(root, [name_of(shard) for shard in shards])
    raise ImagesError(
        f"No images among the {len(entries)} files below {root}.\n"
        f"Known suffixes: {' '.join(IMAGE_SUFFIXES)}, or .tar for WebDataset shards."
    )


def _open_list(path: Path) -> ImageSource:
    lines = [line.removesuffix("\r") for line in _read_text(path).split("\n")]
    root_of = (path.parent, Path())
    # A name may begin or end with spaces, but in a line they are usually a mistake.
    texts = (line if line == line.strip() or _found(line, root_of) else line.strip() for line in lines)
    names = tuple(dict.fromkeys(Path(text).as_posix() for text in texts if text.strip()))
    if not names:
        raise ImagesError(f"The list {path} is empty.\nWrite one image path per line.")
    root = _found(names[0], root_of)
    if root is None:
        raise ImagesError(
            f"{one_line(names[0])}, the first line of {path}, exists neither next to the list nor in the working "
            "directory.\nWrite paths relative to the list, or absolute ones."
        )
    return FileImages(root.absolute(), names)


def _read_text(path: Path) -> str:
    """Read the list as text: UTF-8, or UTF-16 if it begins with a BOM. Other bytes become lone surrogates."""
    with BoundedReader(ImagesError, MAX_LIST_BYTES, remedy="Split the list.").open(path, f"The list {path}") as file:
        content = file.read(1 << 16)
        encoding = next((name for mark, name in _MARKS.items() if content.startswith(mark)), "utf-8")
        binary = b"\0" in content and encoding != "utf-16"
        content += b"" if binary else read_at_most(file, MAX_LIST_BYTES)
    text = "" if binary else content.decode(encoding, "surrogateescape" if encoding != "utf-16" else "replace")
    if binary or "\0" in text:
        raise ImagesError(
            f"{path} is neither a folder, a .tar shard nor a text file of paths: it has zero bytes.\n"
            "For one image, give the folder that contains it."
        )
    return text


def _found(name: str, bases: Sequence[Path]) -> Path | None:
    """Return the first of ``bases`` that contains such a file."""
    return next((base for base in bases if is_file(base / name_of(name))), None)


def _open_shards(root: Path, shards: list[str]) -> ShardImages:
    index: dict[str, tuple[str, int, int]] = {}
    for shard in shards:
        for member in tar_members(_SHARDS, root / shard):
            if member.name.lower().endswith(IMAGE_SUFFIXES):
                index[f"{key_of(shard)}/{member.name}"] = (shard, member.offset_data, member.size)
    if not index:
        raise ImagesError(f"No images in the {len(shards)} shards of {root}.\nA shard contains 0001.jpg, 0002.jpg, ...")
    return ShardImages(root, index)


def _expand(pattern: str) -> list[str]:
    """Expand ``a-{000..002}.tar`` to a-000.tar, a-001.tar, a-002.tar."""
    ranges = _BRACES.findall(pattern)
    # Eight digits exceed any number of shards; int() refuses thousands of them.
    many = any(len(word) > 8 for words in ranges for word in words)
    count = MAX_SHARDS + 1 if many else math.prod(max(int(last) - int(first) + 1, 0) for first, last in ranges)
    if not 0 < count <= MAX_SHARDS:
        number = f"more than {MAX_SHARDS:,} shards" if count else "no shards"
        raise ImagesError(f"{one_line(pattern)} expands to {number}.\nWrite a range such as train-{{000..031}}.tar.")
    return _product(pattern)


def _product(pattern: str) -> list[str]:
    match = _BRACES.search(pattern)
    if match is None:
        return [pattern]
    first, last = match.groups()
    heads = [f"{pattern[: match.start()]}{i:0{len(first)}d}" for i in range(int(first), int(last) + 1)]
    return [head + tail for head in heads for tail in _product(pattern[match.end() :])]
