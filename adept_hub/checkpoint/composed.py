"""Checkpoints of a package that share tensors, which it holds once.

Separate training leaves the parts of its start as they are, so that two checkpoints differ in the RPN alone. The folder
of the second then has no model.safetensors, but the tensors that are its own and the header of the complete file. The
complete file is put together in the cache when it is first needed, byte for byte: it has the digest of its config.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from safetensors.torch import load_file, save_file

from adept_hub.checkpoint.config_file import CARD, CONFIG, WEIGHTS, read_config
from adept_hub.checkpoint.weights_file import check_header
from adept_hub.errors import DiskFullError, IntegrityError, OutputExistsError, PublishError
from adept_hub.io.digest import cache_dir, verify
from adept_hub.io.paths import is_file
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
    ours, theirs = load_file(checkpoint / WEIGHTS), load_file(base / WEIGHTS)
    with (checkpoint / WEIGHTS).open("rb") as mine, (base / WEIGHTS).open("rb") as other:
        here, there = _opened(mine), _opened(other)
        own = {name: tensor for name, tensor in ours.items() if name not in theirs or not _same(name, here, there)}
        if len(own) == len(ours):
            raise PublishError(f"{checkpoint} has no tensor in common with {base}.\nBundle it as a whole.")
        mine.seek(0)
        (folder / HEADER).write_bytes(mine.read(here.data))
    save_file(own, folder / OWN, metadata={"format": "pt"})


def _same(name: str, here: _File, there: _File) -> bool:
    kinds = [(file.entries[name]["dtype"], file.entries[name]["shape"]) for file in (here, there)]
    return kinds[0] == kinds[1] and here.read(name) == there.read(name)


def _write(path: Path, folder: Path, base: Path) -> None:
    header = (folder / HEADER).read_bytes()
    try:
        entries = {name: entry for name, entry in json.loads(header[8:]).items() if name != "__metadata__"}
        names = sorted(entries, key=lambda name: entries[name]["data_offsets"])
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        raise IntegrityError(f"{folder / HEADER} is not the header of a safetensors file.\n{_AGAIN}") from error
    for part in (folder / OWN, base / WEIGHTS):
        check_header(part, IntegrityError)
    with (folder / OWN).open("rb") as mine, (base / WEIGHTS).open("rb") as other, path.open("wb") as stream:
        own, rest = _opened(mine), _opened(other)
        stream.write(header)
        for name in names:
            file = own if name in own.entries else rest
            if name not in file.entries:
                raise IntegrityError(f"{folder} and {base} both lack {name[:200]!r}.\n{_AGAIN}")
            stream.write(file.read(name))


def _opened(stream: BinaryIO) -> _File:
    length = int.from_bytes(stream.read(8), "little")
    return _File(stream, json.loads(stream.read(length)), 8 + length)
