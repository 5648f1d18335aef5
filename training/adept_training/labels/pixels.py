"""The pixels of a labeled image, read the same way by the check, training, evaluation and reports.

Legend: H x W of the image as its annotations give it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from adept_hub.errors import DataError, ImageDecodeError
from adept_training.images import decode, read_file
from adept_training.labels.records import LabeledImage


def read_pixels(image: LabeledImage) -> npt.NDArray[np.uint8]:
    """RGB uint8 (H, W, 3), orientation applied.

    Raises:
        ImageDecodeError: missing, damaged, or of other sides than its annotations say.
    """
    pixels_HWC = decode(read_file(image.path, image.path.name), image.path.name)
    height, width = pixels_HWC.shape[:2]
    if fault := other_size(image, width, height):
        raise ImageDecodeError(f"{image.path.name}: {fault}.")
    return pixels_HWC


def readable_pixels(image: LabeledImage) -> npt.NDArray[np.uint8]:
    """As `read_pixels`, for those who have no use for the rest of the data without this image.

    Raises:
        DataError: it cannot be read.
    """
    try:
        return read_pixels(image)
    except ImageDecodeError as error:
        raise DataError(
            f"An image of the data set is damaged: {error}\n"
            "Leave the damaged ones out with --skip-damaged. See every case: adept data check DATA"
        ) from error


def other_size(image: LabeledImage, width: int, height: int) -> str:
    """How the sides of the file, upright, differ from the annotations'; empty where they do not."""
    if (width, height) == (image.width, image.height):
        return ""
    exchanged = ", exchanged (by an orientation tag, say)" if (height, width) == (image.width, image.height) else ""
    return f"the file has {width} x {height}, the annotations say {image.width} x {image.height}{exchanged}"
