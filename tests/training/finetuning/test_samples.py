"""Training samples whose right answer is in the image itself: every object is painted where its box and mask are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from adept_hub.errors import DataError
from adept_training.finetuning.samples import Batches, LabeledSamples, make_batches
from adept_training.labels.datasets import open_data
from adept_training.labels.identity import ImageKey, Part
from adept_training.labels.records import LabeledImage, Split
from tests.training.made import image, split

HEIGHT, WIDTH = 30, 80
#: A right triangle and an L, neither of which is its own mirror image, in the left half of the image.
POLYGONS = ([[2.0, 4, 20, 24, 2, 24]], [[22.0, 2, 26, 2, 26, 12, 36, 12, 36, 16, 22, 16]])
COLORS = ((200, 0, 0), (0, 0, 200))


def _rle(mask_HW: np.ndarray) -> dict:
    """COCO's uncompressed RLE: runs down the columns, the first of zeros."""
    flat, counts, value = mask_HW.flatten(order="F"), [], 0
    while len(flat):
        end = int(np.argmax(flat != value)) if (flat != value).any() else len(flat)
        counts.append(end)
        flat, value = flat[end:], 1 - value
    return {"size": [HEIGHT, WIDTH], "counts": counts}


@pytest.fixture
def truth(tmp_path: Path) -> Split:
    from pycocotools import mask as mask_api

    pixels = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    masks = [mask_api.decode(mask_api.merge(mask_api.frPyObjects(p, HEIGHT, WIDTH))) for p in POLYGONS]
    for mask, color in zip(masks, COLORS, strict=True):
        pixels[mask > 0] = color
    path = tmp_path / "one.png"
    Image.fromarray(pixels).save(path)
    boxes = []
    for mask in masks:
        rows, columns = np.nonzero(mask)
        boxes.append([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
    no = np.zeros(2, np.bool_)
    stored = (POLYGONS[0], _rle(masks[1]))  # both of COCO's forms
    area = np.array([mask.sum() for mask in masks], np.float64)
    key, boxes_M4 = ImageKey(1, "7"), np.array(boxes, np.float64)
    one = LabeledImage(key, path, path.name, WIDTH, HEIGHT, boxes_M4, np.array([2, 1]), no, no, area, stored)
    return Split("train", (one,), ("a", "b"), (Part(1, "made", path.parent, (7, 3)),))


@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_boxes_and_masks_lie_on_their_pixels(flip: float, truth: Split) -> None:
    pixels_CHW, target = LabeledSamples.of(truth, True, flip, 3)[(5, 0)]
    assert pixels_CHW.shape == (3, HEIGHT, WIDTH)
    assert target["labels"].tolist() == [2, 1]
    for color, mask_HW, box in zip(COLORS, target["masks"], target["boxes"], strict=True):
        painted_HW = (pixels_CHW == torch.tensor(color)[:, None, None]).all(dim=0)
        assert torch.equal(mask_HW.bool(), painted_HW)
        rows, columns = torch.nonzero(painted_HW, as_tuple=True)
        assert box.tolist() == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    # The objects are in the left half of the image as it is stored, in the right half when it is mirrored.
    middle = (target["boxes"][:, 0] + target["boxes"][:, 2]) / 2
    assert (middle > WIDTH / 2).tolist() == [bool(flip)] * 2


def test_half_of_the_samples_are_mirrored_and_each_epoch_anew(truth: Split) -> None:
    plain = LabeledSamples.of(truth, False, 0.0, 3)[(0, 0)][0]
    mirrored = [
        not torch.equal(LabeledSamples.of(truth, False, 0.3, seed)[(epoch, 0)][0], plain)
        for seed in range(20)
        for epoch in range(20)
    ]
    assert 80 < sum(mirrored) < 160, "three in ten of 400"
    assert len({tuple(mirrored[20 * i : 20 * i + 20]) for i in range(20)}) > 15, "not the same in every seed"


def test_samples_are_made_by_as_many_workers_as_are_asked_for(truth: Split) -> None:
    samples = LabeledSamples.of(truth, False, 0.5, 7)
    loader = make_batches(samples, Batches(1, 1, 0, 0, 3), 2)
    assert loader.num_workers == 2
    alone = list(make_batches(samples, Batches(1, 1, 0, 0, 3), 0))
    for batch, expected in zip(loader, alone, strict=True):
        assert torch.equal(batch[0][0], expected[0][0])


def test_a_mirrored_image_has_mirrored_boxes(voc: Path) -> None:
    truth = open_data(f"voc:{voc}").train
    plain, mirrored = (LabeledSamples.of(truth, False, flip, 0)[(0, 0)] for flip in (0.0, 1.0))
    torch.testing.assert_close(mirrored[0], plain[0].flip(-1))
    for (x1, y1, x2, y2), (u1, v1, u2, v2) in zip(plain[1]["boxes"], mirrored[1]["boxes"], strict=True):
        assert (u1, v1, u2, v2) == (80 - x2, y1, 80 - x1, y2)
        inside = plain[0][:, int(y1) : int(y2), int(x1) : int(x2)].float()
        assert inside.std(dim=(1, 2)).max() == 0  # the box is the rectangle, to the pixel


def test_batches_go_through_every_epoch_whole_and_split_over_processes() -> None:
    places = [place for batch in Batches(5, 4, 1, 0, 10) for place in batch]
    for epoch in range(8):
        assert sorted(index for e, index in places if e == epoch) == [0, 1, 2, 3, 4]
    halves = [list(Batches(5, 4, 1, 0, 10, rank, 2)) for rank in (0, 1)]
    assert [a + b for a, b in zip(*halves, strict=True)] == list(Batches(5, 4, 1, 0, 10))
    assert list(Batches(5, 4, 1, 0, 10))[6:] == list(Batches(5, 4, 1, 6, 10))


def test_crowds_and_images_that_vanish(tmp_path: Path) -> None:
    only_crowd = split(image("1", [[0, 0, 9, 9]], [1], crowd=[0]))
    with pytest.raises(DataError, match="no objects to train on"):
        LabeledSamples.of(only_crowd, False, 0, 0)
    gone = LabeledSamples.of(split(image(str(tmp_path / "gone"), [[0, 0, 9, 9]], [1])), False, 0, 0)
    with pytest.raises(DataError, match="cannot be read"):
        gone[(0, 0)]
