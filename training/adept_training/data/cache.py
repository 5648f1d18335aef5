"""Images decoded once into a memory-mapped file of squares, from which views are cut on the device.

Squares are a little larger than the largest view. The file appears whole or not at all, and its digest is checked when
it is opened.

Legend: M images of a run, S pixels per side of a square.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from adept_hub.errors import AdeptError, DataError, ImageDecodeError, RecipeError
from adept_hub.io.digest import sha256_file
from adept_hub.io.read import MAX_LOG, BoundedReader
from adept_hub.io.write import atomic_folder
from adept_training.images import ImageSource, decode, decoder_version
from adept_training.runtime.progress import track
from adept_training.runtime.workers import worker_options

#: Side of a square relative to that of the largest view.
MARGIN = 1.15
#: Images that a worker decodes at a time.
_BATCH = 16
_PIXELS, _SIZES, _ABOUT = "squares.bin", "sizes.bin", "about.json"


@dataclass(frozen=True)
class PixelCache:
    """Squares of a run's images by their place in its list of keys. Workers map the file each for themselves."""

    folder: Path
    count: int
    side: int
    #: Digest of the content.
    sha256: str

    def square(self, row: int) -> npt.NDArray[np.uint8]:
        """Return RGB uint8 (S, S, 3), a copy."""
        return np.array(_mapped(self.folder / _PIXELS, self.sha256, (self.count, self.side, self.side, 3))[row])

    def size(self, row: int) -> tuple[int, int]:
        """Return width and height of the image itself; (0, 0) if it cannot be decoded."""
        width, height = _loaded(self.folder / _SIZES, self.sha256)[row]
        return int(width), int(height)


@functools.lru_cache(maxsize=4)
def _mapped(path: Path, _: str, shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    return np.memmap(path, dtype=np.uint8, mode="r", shape=shape)


@functools.lru_cache(maxsize=4)
def _loaded(path: Path, _: str) -> npt.NDArray[np.int32]:
    return np.frombuffer(BoundedReader(DataError, MAX_LOG).read(path), np.int32).reshape(-1, 2)


def side_of(sizes: Sequence[int]) -> int:
    """Return the side of the squares for views of the given sizes, in pixels."""
    return math.ceil(MARGIN * max(sizes))


def cache_bytes(count: int, side: int) -> int:
    """Return the size of the squares of ``count`` images."""
    return count * side * side * 3


def check_bytes(count: int, side: int, limit_gb: float) -> None:
    """Check that the cache will not be larger than it may.

    Raises:
        RecipeError: it would be.
    """
    needed = cache_bytes(count, side) / 1e9
    if needed > limit_gb:
        raise RecipeError(
            f"The cache of {count} images at {side} x {side} pixels needs {needed:.3g} GB, and data.cache_gb is "
            f"{limit_gb:g}.\nAllow it: --set data.cache_gb={math.ceil(needed)}, or decode each time: "
            "--set data.cache=false"
        )


def open_cache(folder: Path, keys: Sequence[str], side: int) -> PixelCache | None:
    """Open the cache of these images, or return None if there is none, or it is of others, incomplete or damaged."""
    try:
        about = BoundedReader(DataError).json(folder / _ABOUT)
        found = _combined(sha256_file(folder / _PIXELS), sha256_file(folder / _SIZES))
    except AdeptError:
        return None
    if not isinstance(about, dict) or (about.get("images"), about.get("sha256")) != (_digest(keys, side), found):
        return None
    return PixelCache(folder, len(keys), side, found)


def write_cache(folder: Path, source: ImageSource, keys: Sequence[str], side: int, workers: int) -> PixelCache:
    """Decode every image into ``folder``, replacing what is there. An image that cannot be decoded becomes black.

    Raises:
        DiskFullError: there is not enough room.
    """
    loader: DataLoader[_Square] = DataLoader(
        _Squares(source, tuple(keys), side),
        batch_size=_BATCH,
        **worker_options(workers),
        collate_fn=list,
    )
    sizes, digest = np.zeros((len(keys), 2), np.int32), hashlib.sha256()
    with atomic_folder(folder, overwrite=True) as temporary:
        row = 0
        with (temporary / _PIXELS).open("wb") as file:
            for squares in track(loader, -(-len(keys) // _BATCH), "decoding images", " batches"):
                for pixels, size in squares:
                    content = pixels.tobytes()
                    file.write(content)
                    digest.update(content)
                    sizes[row], row = size, row + 1
        (temporary / _SIZES).write_bytes(sizes.tobytes())
        whole = _combined(digest.hexdigest(), hashlib.sha256(sizes.tobytes()).hexdigest())
        about = {
            "images": _digest(keys, side), "sha256": whole, "count": len(keys), "side": side,
            "decoder": decoder_version(),
        }  # fmt: skip
        (temporary / _ABOUT).write_text(json.dumps(about), encoding="utf-8")
    return PixelCache(folder, len(keys), side, whole)


_Square = tuple[npt.NDArray[np.uint8], tuple[int, int]]


@dataclass(frozen=True)
class _Squares(Dataset[_Square]):
    source: ImageSource
    keys: tuple[str, ...]
    side: int

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, row: int) -> _Square:
        key = self.keys[row]
        try:
            image = decode(self.source.read(key), key)
        except ImageDecodeError:
            return np.zeros((self.side, self.side, 3), np.uint8), (0, 0)
        square = Image.fromarray(image).resize((self.side, self.side), Image.Resampling.BILINEAR, reducing_gap=3.0)
        return np.array(square), (image.shape[1], image.shape[0])


def _digest(keys: Sequence[str], side: int) -> str:
    text = "\n".join([str(side), decoder_version(), *keys])
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _combined(pixels: str, sizes: str) -> str:
    return hashlib.sha256(f"{pixels} {sizes}".encode()).hexdigest()
