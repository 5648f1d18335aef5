"""Photographs for the tests: those inside scikit-image always, those of the workplace when they are there."""

import functools
from pathlib import Path

import numpy as np
import pytest
import skimage.data

from adept_hub.images.decode import decode

DATA = Path(__file__).parents[4] / "shared" / "data"
FOLDERS = {"photos/caltech101": 16, "photos/imagenet1000": 12, "coco256/val2017": 4}


def skimage_photographs() -> dict[str, np.ndarray]:
    """Thirteen crops of at most 200 x 300 pixels, as RGB uint8."""
    return {name: crop.copy() for name, crop in _crops().items()}


@functools.cache
def _crops() -> dict[str, np.ndarray]:
    crops = {
        "astronaut": skimage.data.astronaut()[:200, 100:400],
        "astronaut low": skimage.data.astronaut()[300:, 200:],
        "coffee": skimage.data.coffee()[50:250, 150:450],
        "chelsea": skimage.data.chelsea()[50:250, 100:400],
        "rocket": skimage.data.rocket()[100:300, 200:500],
        "retina": skimage.data.retina()[500:700, 500:800],
        "hubble": skimage.data.hubble_deep_field()[300:500, 300:600],
        "cells": skimage.data.immunohistochemistry()[100:300, 100:400],
        "camera": skimage.data.camera()[100:300, 150:450],
        "coins": skimage.data.coins()[:200, :300],
        "page": skimage.data.page()[:190, :300],
        "brick": skimage.data.brick()[:200, :300],
        "motorcycle": skimage.data.stereo_motorcycle()[0][100:300, 200:500],
    }
    return {
        name: np.ascontiguousarray(crop if crop.ndim == 3 else np.repeat(crop[:, :, None], 3, axis=2))
        for name, crop in crops.items()
    }


def workplace_photographs() -> list:
    """Paths of 32 real photographs as test parameters; one skipped parameter where the folder is absent."""
    paths = []
    for folder, count in FOLDERS.items():
        found = sorted((DATA / folder).rglob("*.jpg"))
        paths += found[:: max(1, len(found) // count)][:count]
    if not paths:
        reason = "the workplace's photographs (../shared/data) are not here"
        return [pytest.param(None, marks=pytest.mark.skip(reason=reason), id="no-photographs")]
    return [pytest.param(path, id=path.relative_to(DATA).as_posix()) for path in paths]


def load(path: Path) -> np.ndarray:
    return decode(path.read_bytes(), str(path))
