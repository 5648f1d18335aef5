"""Decode images to RGB pixels, or to the size that these pixels will have: one reading of size and orientation.

Legend: H x W pixels of the image as it is shown, after its orientation tag is applied.
"""

from __future__ import annotations

import functools
import hashlib
import io
import re
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError, features

from adept_hub.errors import ImageDecodeError

# Formats that PIL decodes itself. EPS and similar formats start other programs, which must not happen.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "JPEG2000", "AVIF")
MAX_PIXELS = 64_000_000  # selective search takes about 100 bytes per pixel
#: Orientations that swap width and height.
_TURNED = (5, 6, 7, 8)

# Exceptions of PIL's parsers on damaged files, found by fuzzing (benchmarks/boxes/faults.py).
_DECODE_ERRORS = (
    OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, struct.error, zlib.error, ArithmeticError,
    AttributeError, NotImplementedError, RuntimeError, MemoryError, AssertionError, Image.DecompressionBombError,
)  # fmt: skip


def decode(content: bytes, key: str, *, max_pixels: int = MAX_PIXELS) -> npt.NDArray[np.uint8]:
    """Decode an image to RGB uint8 (H, W, 3): EXIF orientation applied, first frame, alpha dropped, 16 bit halved.

    Args:
        content: the encoded bytes; ``key`` only names the image in messages.
        max_pixels: a header with more pixels raises before anything is decoded.

    Raises:
        ImageDecodeError: the file is not an image, damaged, truncated, too large, or has floating-point samples.
    """
    with _opened(content, key, max_pixels) as image:
        return _to_rgb(ImageOps.exif_transpose(image))


def read_size(file: BinaryIO | bytes, key: str, *, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """Read width and height, as `decode` will return them, from the header.

    Args:
        file: the encoded bytes, or a stream of them; ``key`` only names the image in messages.
        max_pixels: as in `decode`.

    Raises:
        ImageDecodeError: as in `decode`, as far as the header shows.
    """
    with _opened(file, key, max_pixels) as image:
        width, height = _stored_size(image)
        turned = image.getexif().get(ExifTags.Base.Orientation) in _TURNED
        return (height, width) if turned else (width, height)


def content_hash(content: bytes) -> bytes:
    """Return the SHA-256 of the encoded bytes (32 bytes)."""
    return hashlib.sha256(content).digest()


def decoder_version() -> str:
    """Return name and versions of the decoder, recorded with everything that depends on exact pixels."""
    import PIL

    return f"Pillow {PIL.__version__}, libjpeg-turbo {features.version('libjpeg_turbo')}"


@contextmanager
def _opened(file: BinaryIO | bytes, key: str, max_pixels: int) -> Iterator[Image.Image]:
    """Open an image and check its header; any exception of PIL inside becomes ImageDecodeError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PIL warns about odd metadata and about sizes, which are checked below
            stream = io.BytesIO(file) if isinstance(file, bytes) else file
            with Image.open(stream, formats=_formats()) as image:
                if image.width * image.height > max_pixels:
                    raise ImageDecodeError(
                        f"{key} has {image.width} x {image.height} pixels, more than {max_pixels:,}. Shrink it first."
                    )
                if image.mode == "F":
                    raise ImageDecodeError(
                        f"{key} has floating-point samples, whose range is unknown. Convert it to 8 or 16 bit."
                    )
                yield image
    except ImageDecodeError:
        raise
    except UnidentifiedImageError as error:
        raise ImageDecodeError(f"{key} is not a readable image: none of {', '.join(_formats())}.") from error
    except _DECODE_ERRORS as error:
        # Memory addresses would make two reports of one run differ.
        reason = re.sub(r"<[^>]*0x[^>]*>", "it", " ".join(str(error).split()))[:120] or type(error).__name__
        raise ImageDecodeError(f"{key} is not a readable image: {reason}") from error


def _stored_size(image: Image.Image) -> tuple[int, int]:
    """Return width and height before orientation: some versions of PIL swap a TIFF's sides on opening, some later."""
    tags = getattr(image, "tag_v2", None)
    if image.format == "TIFF" and tags is not None:
        return int(tags[ExifTags.Base.ImageWidth]), int(tags[ExifTags.Base.ImageLength])
    return image.size


@functools.cache
def _formats() -> tuple[str, ...]:
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)  # some builds of PIL lack formats


def _to_rgb(image: Image.Image) -> npt.NDArray[np.uint8]:
    if image.mode.startswith("I"):
        # PIL's own conversion clips 16-bit gray at 255; for 16-bit color it keeps the high byte.
        gray = (np.clip(np.asarray(image).astype(np.int64), 0, 65535) >> 8).astype(np.uint8)
        return np.ascontiguousarray(np.repeat(gray[:, :, None], 3, axis=2))
    return np.array(image.convert("RGB"), dtype=np.uint8)
