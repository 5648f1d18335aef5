"""Read the pixels of a labeled image in the same way for the check, training, evaluation and reports.

Legend: H x W of the image as its annotations give it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from adept_hub.errors import DataError, ImageDecodeError
from adept_hub.words.text import one_line
from adept_training.images import decode, read_file
from adept_training.labels.records import LabeledImage


def read_pixels(image: LabeledImage) -> npt.NDArray[np.uint8]:
    """Read an image as RGB uint8 (H, W, 3), orientation applied.

    Raises:
        ImageDecodeError: the file is missing, damaged, or differs in size from its annotations.
    """
    pixels_HWC = decode(read_file(image.path, image.path.name), image.path.name)
    height, width = pixels_HWC.shape[:2]
    if fault := other_size(image, width, height):
        raise ImageDecodeError(f"{image.path.name}: {fault}.")
    return pixels_HWC


def readable_pixels(image: LabeledImage) -> npt.NDArray[np.uint8]:
    """Read an image like `read_pixels`, for callers that cannot continue without it.

    Raises:
        DataError: the image cannot be read.
    """
    try:
        return read_pixels(image)
    except ImageDecodeError as error:
        raise DataError(
            f"An image of the data set is damaged: {error}\n"
            "Leave damaged images out with --skip-damaged. List every problem: adept data check DATA"
        ) from error


def file_fault(error: Exception, path: Path) -> tuple[str, str]:
    """Return the kind of problem with an image file, and its detail, for an error of opening or decoding it."""
    if isinstance(error, (FileNotFoundError, NotADirectoryError)):
        return "missing-image", str(path)
    if isinstance(error, ImageDecodeError):
        return "unreadable-image", str(error).splitlines()[0][:160]
    # A name that is too long or has a null character, no permission, a loop of links.
    return "unreadable-image", f"{one_line(path.name)} cannot be read: {getattr(error, 'strerror', None) or error}"


def other_size(image: LabeledImage, width: int, height: int) -> str:
    """Describe how the size of the file, upright, differs from the annotations; return "" if it does not."""
    if (width, height) == (image.width, image.height):
        return ""
    exchanged = ", swapped (such as by an orientation tag)" if (height, width) == (image.width, image.height) else ""
    return f"the file has {width} x {height}, the annotations have {image.width} x {image.height}{exchanged}"
