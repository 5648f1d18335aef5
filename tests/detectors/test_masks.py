"""Masks in COCO's encoding, byte for byte pycocotools'."""

from __future__ import annotations

import numpy as np
import pytest
from pycocotools import mask as mask_api

from adept_hub.detectors.masks import decode_mask, encode_mask


def masks() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    big_HW = np.zeros((1500, 900), bool)
    big_HW[70:1400, 100] = big_HW[3, 400:] = True
    blobs_HW = np.kron(rng.random((5, 9)) > 0.5, np.ones((13, 7))) > 0
    return {
        "noise": rng.random((37, 53)) > 0.3, "blobs": blobs_HW, "long runs": big_HW, "empty": np.zeros((4, 6), bool),
        "full": np.ones((4, 6), bool), "one pixel": np.ones((1, 1), bool), "first pixel": np.eye(5, 3) > 0,
        "a row": np.array([[0, 1, 1, 0, 0, 1]]) > 0,
    }  # fmt: skip


@pytest.mark.parametrize("name", masks())
def test_both_ways_are_pycocotools_own(name: str) -> None:
    inside_HW = masks()[name]
    rle = encode_mask(inside_HW)
    assert rle == dict(mask_api.encode(np.asfortranarray(inside_HW.astype(np.uint8))))
    np.testing.assert_array_equal(decode_mask(rle), inside_HW)
    assert decode_mask(rle).dtype == np.uint8


def test_counts_of_another_size_are_refused() -> None:
    rle = encode_mask(masks()["blobs"])
    with pytest.raises(ValueError, match="do not add up to 64 x 63 pixels"):
        decode_mask({**rle, "size": [64, 63]})
