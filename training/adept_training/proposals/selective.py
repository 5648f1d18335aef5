"""Selective search on one image, by preset."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from adept_hub.arguments.calls import checked
from adept_hub.errors import ProposalsError
from adept_training.proposals.search.boxes import Boxes
from adept_training.proposals.search.presets import DEFAULT_PRESET, Preset, get_preset


@dataclass(frozen=True)
class Regions:
    """Every region of one image, in the algorithm's own order: N regions."""

    boxes: Boxes  # (N, 4) float32 xyxy, pixels of the image
    sizes: npt.NDArray[np.int64]  # (N,) pixels that belong to the region; the area of its box for OpenCV


@checked
def selective_search(image: npt.NDArray[np.uint8], preset: str | Preset = DEFAULT_PRESET) -> Boxes:
    """Return every region's box, unfiltered, in the algorithm's own order.

    Args:
        image: RGB uint8 (H, W, 3).
        preset: ``paper`` (identical to AlpacaDB's selectivesearch 0.4 with scale 500, sigma 0.9, min_size 10),
            ``soco``, ``fixed``, ``opencv-fast``, ``opencv-quality`` or ``objects``, or a Preset of your own.
            OpenCV's are sorted; those of ``objects`` come best first.

    Returns:
        float32 (N, 4) xyxy in pixels of ``image``. Right and bottom edges are exclusive, except in ``paper`` and
        ``soco``, whose boxes end at the last pixel as their references' do.

    Raises:
        ProposalsError: the preset is unknown, or the array is not uint8 (H, W, 3).
    """
    return search_regions(image, preset).boxes


@checked
def search_regions(image: npt.NDArray[np.uint8], preset: str | Preset = DEFAULT_PRESET) -> Regions:
    """Run ``selective_search``, and return the regions' sizes in addition to their boxes."""
    chosen = get_preset(preset)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ProposalsError(
            f"Selective search takes RGB uint8 (H, W, 3), not {image.dtype} {image.shape}.\n"
            "adept_hub.images.decode makes one of any image file."
        )
    if chosen.algorithm == "alpacadb":
        from adept_training.proposals.search.alpacadb import alpacadb_regions

        return Regions(*alpacadb_regions(image, chosen))
    if chosen.algorithm == "objects":
        from adept_training.proposals.objects.search import object_boxes

        boxes_N4 = object_boxes(image, chosen)
    else:
        from adept_training.proposals.search.opencv import opencv_regions

        boxes_N4 = opencv_regions(image, chosen)
    sizes_N = np.prod(boxes_N4[:, 2:] - boxes_N4[:, :2], axis=1).astype(np.int64)
    return Regions(boxes_N4, sizes_N)
