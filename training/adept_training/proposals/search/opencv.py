"""OpenCV's selective search, made reproducible.

Its order comes from C's ``rand()``, which no seed of OpenCV reaches: the set is stable, so it is sorted. Strategy
objects cache by image id and give wrong boxes when reused: every image gets a fresh one.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from adept_hub.errors import MissingExtraError
from adept_training.proposals.search.presets import Preset


def opencv_regions(image: npt.NDArray[np.uint8], preset: Preset) -> npt.NDArray[np.float32]:
    """Return float32 (N, 4) xyxy, sorted by x1, y1, x2, y2, unique. ``image``: RGB uint8 (H, W, 3).

    Raises MissingExtraError if the installed OpenCV lacks the contrib modules.
    """
    import cv2

    if not hasattr(cv2, "ximgproc"):
        raise MissingExtraError(f"The preset {preset.name}", "train", "opencv-contrib-python-headless")
    search = cv2.ximgproc.segmentation.createSelectiveSearchSegmentation()
    search.setBaseImage(np.ascontiguousarray(image[:, :, ::-1]))
    scale = int(preset.scale)
    if preset.algorithm == "opencv-fast":
        search.switchToSelectiveSearchFast(scale, scale, preset.sigma)
    else:
        search.switchToSelectiveSearchQuality(scale, scale, preset.sigma)
    xywh = np.unique(np.asarray(search.process(), dtype=np.float32).reshape(-1, 4), axis=0)
    boxes = np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1)
    return np.ascontiguousarray(boxes[np.lexsort(boxes.T[::-1])])
