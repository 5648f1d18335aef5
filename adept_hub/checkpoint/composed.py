"""Checkpoints of a package that share tensors, which it holds once.

Separate training leaves the parts of its start as they are, so that two checkpoints differ in the RPN alone. The folder
of the second then has no model.safetensors, but the tensors that are its own and the header of the complete file. The
complete file is put together in the cache when it is first needed, byte for byte: it has the digest of its config.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from safetensors.torch import save_file

from adept_hub.checkpoint.config_file import CARD, CONFIG, WEIGHTS, read_config
from adept_hub.checkpoint.validate_config import MAX_WEIGHT_BYTES
from adept_hub.checkpoint.weights_file import MAX_HEADER_BYTES, check_header, read_safetensors
from adept_hub.errors import DiskFullError, IntegrityError, OutputExistsError, PublishError
from adept_hub.io.digest import cache_dir, verify
from adept_hub.io.paths import is_file
from adept_hub.io.read import BoundedReader, parse_json
from adept_hub.io.write import atomic_folder

#: The tensors that the base lacks, or has with other values.
OWN = "own.safetensors"
#: The first bytes of the complete file: the length of its header and the header.
HEADER = "model.safetensors.header"
_AGAIN = "Install its package again."


class _File(NamedTuple):
    """An open safetensors file: the entries of its header by tensor, and where its data begins."""

    stream: BinaryIO
    entries: Mapping[str, Any]
    data: int

    def read(self, name: str) -> bytes:
        first, last = self.entries[name]["data_offsets"]
        self.stream.seek(self.data + first)
        return self.stream.read(last - first)


def compose(folder: Path, base: Path) -> Path:
    """Return the folder of the complete checkpoint, in the cache.

    Args:
        folder: a folder with config.json, `OWN` and `HEADER`.
        base: the checkpoint folder that has the other tensors.

    Raises:
        IntegrityError: a file is missing or damaged, or the result has not the digest of ``folder``'s config.
        DiskFullError: the cache cannot be written.
    """
    config = read_config(folder)
    complete = cache_dir() / "composed" / config.sha256
    if complete.is_dir():
        return complete
    if lost := [path for path in (folder / OWN, folder / HEADER, base / WEIGHTS) if not is_file(path)]:
        raise IntegrityError(f"{lost[0]} does not exist.\n{_AGAIN}")
    try:
        with atomic_folder(complete) as temporary:
            _write(temporary / WEIGHTS, folder, base)
            verify(temporary / WEIGHTS, config.sha256, config.size, force=True)
            for name in (CONFIG, CARD):
                if is_file(folder / name):
                    shutil.copyfile(folder / name, temporary / name)
    except OutputExistsError:  # another process was faster
        pass
    except DiskFullError as error:
        why = str(error).partition("\n")[0]
        raise DiskFullError(
            f"{config.name} shares tensors with another bundled checkpoint, and its file is put together in "
            f"{cache_dir()}: {why}\nFree space, or set ADEPT_CACHE to a folder that can be written."
        ) from error
    return complete


def split(checkpoint: Path, base: Path, folder: Path) -> None:
    """Write what `compose` needs to make ``checkpoint``'s weights from ``base``'s.

    Raises:
        PublishError: the two have no tensor in common.
    """
    ours, theirs = read_safetensors(checkpoint / WEIGHTS), read_safetensors(base / WEIGHTS)
    with _opened(checkpoint / WEIGHTS) as here, _opened(base / WEIGHTS) as there:
        own = {name: tensor for name, tensor in ours.items() if name not in theirs or not _same(name, here, there)}
        if len(own) == len(ours):
            raise PublishError(f"{checkpoint} has no tensor in common with {base}.\nBundle it as a whole.")
        here.stream.seek(0)
        (folder / HEADER).write_bytes(here.stream.read(here.data))
    save_file(own, folder / OWN, metadata={"format": "pt"})


def _same(name: str, here: _File, there: _File) -> bool:
    kinds = [(file.entries[name]["dtype"], file.entries[name]["shape"]) for file in (here, there)]
    return kinds[0] == kinds[1] and here.read(name) == there.read(name)


def _write(path: Path, folder: Path, base: Path) -> None:
    header = BoundedReader(IntegrityError, MAX_HEADER_BYTES, remedy=_AGAIN).read(folder / HEADER)
    entries = _entries(header[8:], folder / HEADER)
    try:
        names = sorted(entries, key=lambda name: entries[name]["data_offsets"])
    except (KeyError, TypeError) as error:
        raise IntegrityError(f"{folder / HEADER} is not the header of a safetensors file.\n{_AGAIN}") from error
    with _opened(folder / OWN) as own, _opened(base / WEIGHTS) as rest, path.open("wb") as stream:
        stream.write(header)
        for name in names:
            file = own if name in own.entries else rest
            if name not in file.entries:
                raise IntegrityError(f"{folder} and {base} both lack {name[:200]!r}.\n{_AGAIN}")
            stream.write(file.read(name))


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[_File]:
    check_header(path, IntegrityError)
    with BoundedReader(IntegrityError, MAX_WEIGHT_BYTES, remedy=_AGAIN).open(path) as stream:
        length = int.from_bytes(stream.read(8), "little")
        yield _File(stream, _entries(stream.read(length), path), 8 + length)


def _entries(content: bytes, path: Path) -> dict[str, Any]:
    """Return the entries of a header by tensor."""
    header = parse_json(content, f"{path} is not the header of a safetensors file: it", IntegrityError, remedy=_AGAIN)
    if not isinstance(header, dict):
        raise IntegrityError(f"{path} is not the header of a safetensors file.\n{_AGAIN}")
    return {name: entry for name, entry in header.items() if name != "__metadata__"}
