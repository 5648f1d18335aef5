"""Where photographs come from, and the one decoder that every stage shares.

An ``ImageSource`` lists keys and returns encoded bytes; ``decode`` turns the bytes into RGB uint8. Selective search is
unstable (re-encoding a JPEG at quality 95 moves its boxes to a mean IoU of 0.77), so proposals and views must see the
same pixels: nothing else in the trainer opens an image file.
"""

from __future__ import annotations

import functools
import hashlib
import io
import re
import struct
import tarfile
import warnings
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError, features

from adept_hub.errors import ImageDecodeError, ImagesError

IMAGE_SUFFIXES = tuple(
    ".jpg .jpeg .jpe .mpo .png .webp .bmp .gif .avif .tif .tiff .ppm .pgm .pnm .jp2 .j2k".split()  # noqa: SIM905
)
# Formats that PIL decodes itself. EPS and its like start other programs; nothing here may.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "JPEG2000", "AVIF")
MAX_PIXELS = 64_000_000  # selective search takes about 100 bytes a pixel

# What PIL's parsers raise on damaged files, found by fuzzing (benchmarks/proposals_faults.py).
_DECODE_ERRORS = (
    OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, struct.error, zlib.error, ArithmeticError,
    AttributeError, NotImplementedError, RuntimeError, MemoryError, AssertionError, Image.DecompressionBombError,
)  # fmt: skip


class ImageSource(Protocol):
    """Photographs by key: the relative POSIX path, unique within the source."""

    def keys(self) -> list[str]:
        """Every key, in the order of the source (folders and shards: sorted)."""
        ...

    def read(self, key: str) -> bytes:
        """The encoded bytes of one photograph. Raises ImageDecodeError when they cannot be read."""
        ...

    def subset(self, keys: Sequence[str]) -> ImageSource:
        """The same source with these keys alone: small to pickle, so that it can be sent to a worker."""
        ...


@dataclass(frozen=True)
class FileImages:
    """Files below ``root`` (a folder searched through, or the paths of a list)."""

    root: Path
    names: tuple[str, ...]

    def keys(self) -> list[str]:
        return list(self.names)

    def read(self, key: str) -> bytes:
        try:
            return (self.root / key).read_bytes()
        except OSError as error:
            raise ImageDecodeError(f"{key} cannot be read: {error.strerror}.") from error

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
        try:
            with (self.root / shard).open("rb") as file:
                file.seek(offset)
                content = file.read(length)
        except OSError as error:
            raise ImageDecodeError(f"{key} cannot be read: {error.strerror}.") from error
        if len(content) != length:
            raise ImageDecodeError(f"{key} cannot be read: {shard} is truncated.")
        return content

    def subset(self, keys: Sequence[str]) -> ShardImages:
        return ShardImages(self.root, {key: self.index[key] for key in keys})


def open_images(where: str | Path) -> ImageSource:
    """Photographs of a folder (searched through), a text file of paths, WebDataset shards, or a Hugging Face dataset.

    Shards are a ``.tar`` file, a folder that holds ``.tar`` files and no image files, or a pattern such as
    ``shards/train-{000..031}.tar``. Paths in a text file are relative to that file's folder, or else to the working
    directory. Datasets are written ``hf-datasets:NAME[@REVISION][:SPLIT]`` (see images_hf).

    Raises:
        ImagesError: no such path, an empty folder, or one without images.
    """
    if str(where).startswith("hf-datasets:"):
        from adept_training.images_hf import open_hugging_face

        return open_hugging_face(str(where))
    path = Path(where).expanduser()
    if re.search(r"\{\d+\.\.\d+\}", path.name):
        return _open_shards(path.parent, _expand(path.name))
    if path.is_dir():
        return _open_folder(path)
    if path.suffix == ".tar" and path.is_file():
        return _open_shards(path.parent, [path.name])
    if path.is_file():
        return _open_list(path)
    raise ImagesError(
        f"No such path: {where}.\nGive a folder of photographs, a text file of paths, or WebDataset .tar shards."
    )


def decode(content: bytes, key: str, *, max_pixels: int = MAX_PIXELS) -> npt.NDArray[np.uint8]:
    """RGB uint8 (H, W, 3) of one encoded image: EXIF orientation applied, first frame, alpha dropped, 16 bit halved.

    Args:
        content: the encoded bytes; ``key`` only names the image in messages.
        max_pixels: a header that promises more is refused before anything is unpacked.

    Raises:
        ImageDecodeError: not an image, damaged, truncated, too large, or floating-point samples.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PIL warns about odd metadata and about sizes, which are checked below
            with Image.open(io.BytesIO(content), formats=_formats()) as image:
                if image.width * image.height > max_pixels:
                    raise ImageDecodeError(
                        f"{key} has {image.width} x {image.height} pixels, more than {max_pixels:,}. Shrink it first."
                    )
                return _to_rgb(ImageOps.exif_transpose(image), key)
    except ImageDecodeError:
        raise
    except UnidentifiedImageError as error:
        raise ImageDecodeError(f"{key} is not a readable image: none of {', '.join(_formats())}.") from error
    except _DECODE_ERRORS as error:
        # Addresses would make two reports of one run differ.
        reason = re.sub(r"<[^>]*0x[^>]*>", "it", " ".join(str(error).split()))[:120] or type(error).__name__
        raise ImageDecodeError(f"{key} is not a readable image: {reason}") from error


def content_hash(content: bytes) -> bytes:
    """SHA-256 of the encoded bytes (32 bytes)."""
    return hashlib.sha256(content).digest()


def decoder_version() -> str:
    """Name and versions of the decoder, recorded with everything that depends on exact pixels."""
    import PIL

    return f"Pillow {PIL.__version__}, libjpeg-turbo {features.version('libjpeg_turbo')}"


@functools.cache
def _formats() -> tuple[str, ...]:
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)  # a build of PIL may lack some


def _to_rgb(image: Image.Image, key: str) -> npt.NDArray[np.uint8]:
    if image.mode == "F":
        raise ImageDecodeError(f"{key} has floating-point samples, whose range is unknown. Convert it to 8 or 16 bit.")
    if image.mode.startswith("I"):
        # PIL's own conversion clips 16-bit grey at 255; the high byte is what it keeps of 16-bit colour.
        grey = (np.clip(np.asarray(image).astype(np.int64), 0, 65535) >> 8).astype(np.uint8)
        return np.ascontiguousarray(np.repeat(grey[:, :, None], 3, axis=2))
    return np.array(image.convert("RGB"), dtype=np.uint8)


def _open_folder(root: Path) -> ImageSource:
    entries = sorted(p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file())
    if not entries:
        raise ImagesError(f"The folder {root} is empty.\nPut photographs into it, or give another folder.")
    names = tuple(name for name in entries if Path(name).suffix.lower() in IMAGE_SUFFIXES)
    if names:
        return FileImages(root, names)
    shards = [name for name in entries if name.endswith(".tar")]
    if shards:
        return _open_shards(root, shards)
    raise ImagesError(
        f"No images among the {len(entries)} files below {root}.\n"
        f"Known endings: {' '.join(IMAGE_SUFFIXES)}, or .tar for WebDataset shards."
    )


def _open_list(path: Path) -> ImageSource:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise ImagesError(
            f"{path} is neither a folder, a .tar shard nor a text file of paths.\n"
            "For one photograph, give the folder that holds it."
        ) from error
    names = tuple(dict.fromkeys(Path(line.strip()).as_posix() for line in lines if line.strip()))
    if not names:
        raise ImagesError(f"The list {path} is empty.\nWrite one image path a line.")
    root = next((base for base in (path.parent, Path()) if (base / names[0]).is_file()), None)
    if root is None:
        raise ImagesError(
            f"{names[0]}, the first line of {path}, is found neither beside the list nor in the working directory.\n"
            "Write paths relative to the list, or absolute ones."
        )
    return FileImages(root.absolute(), names)


def _open_shards(root: Path, shards: list[str]) -> ShardImages:
    index: dict[str, tuple[str, int, int]] = {}
    for shard in shards:
        try:
            with tarfile.open(root / shard, mode="r:") as tar:
                for member in tar:
                    if member.isfile() and Path(member.name).suffix.lower() in IMAGE_SUFFIXES:
                        index[f"{shard}/{member.name}"] = (shard, member.offset_data, member.size)
        except (OSError, tarfile.TarError) as error:
            raise ImagesError(
                f"The shard {root / shard} cannot be read: {error}.\nShards are uncompressed .tar files."
            ) from error
    if not index:
        raise ImagesError(f"No images in the {len(shards)} shards of {root}.\nA shard holds 0001.jpg, 0002.jpg, ...")
    return ShardImages(root, index)


def _expand(pattern: str) -> list[str]:
    """``a-{000..002}.tar`` -> a-000.tar, a-001.tar, a-002.tar."""
    match = re.search(r"\{(\d+)\.\.(\d+)\}", pattern)
    if match is None:
        return [pattern]
    first, last = match.groups()
    heads = [f"{pattern[: match.start()]}{i:0{len(first)}d}" for i in range(int(first), int(last) + 1)]
    return [head + tail for head in heads for tail in _expand(pattern[match.end() :])]
