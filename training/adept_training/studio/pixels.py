"""Encode pictures for the page: JPEG for images, PNG with a palette for maps.

Legend: H x W pixels.
"""

from __future__ import annotations

import base64
import io

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from PIL import Image

#: Longer side of a thumbnail and of an image on the page, pixels.
THUMBNAIL, LARGE = 160, 1280
_COLORS = "inferno"


def jpeg(pixels_HW3: npt.NDArray[np.uint8], longest: int, quality: int = 85) -> bytes:
    """Return an image as a JPEG whose longer side has at most ``longest`` pixels."""
    picture = Image.fromarray(pixels_HW3)
    picture.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    picture.save(stream, format="JPEG", quality=quality)
    return stream.getvalue()


def heat_png(ranks_HW: npt.NDArray[np.float32]) -> bytes:
    """Return a map of values in [0, 1] as a PNG from dark to bright."""
    picture = Image.fromarray(np.rint(ranks_HW * 255).astype(np.uint8), mode="L").convert("P")
    palette = mpl.colormaps[_COLORS](np.arange(256))[:, :3]
    picture.putpalette(np.rint(palette * 255).astype(np.uint8).tobytes())
    stream = io.BytesIO()
    picture.save(stream, format="PNG", optimize=True)
    return stream.getvalue()


def data_address(content: bytes, kind: str) -> str:
    """Return a ``data:`` address of an image; ``kind`` is ``jpeg`` or ``png``."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"
