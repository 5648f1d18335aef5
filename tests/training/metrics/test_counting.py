"""What counts in a metric, worked by hand: difficult objects, crowds, and more than 100 detections."""

from __future__ import annotations

import numpy as np
import pytest

from adept_training.labels.identity import ImageKey
from adept_training.metrics.coco import coco_metrics
from adept_training.metrics.recall import proposal_recall
from adept_training.metrics.tide import tide
from adept_training.metrics.voc import voc_metrics
from tests.training.made import detections, image, split

FOUND, HARD, MISSED = [10.0, 10, 60, 60], [80.0, 80, 140, 140], [150.0, 10, 190, 40]


@pytest.mark.parametrize("how", ["difficult", "crowd"])
def test_an_object_that_does_not_count_is_neither_missed_nor_wrongly_found(how: str) -> None:
    """One of two objects that count is found; the third one's detection, the surest of all, is left out."""
    for sure in (True, False):
        truth = split(image("a", [FOUND, HARD, MISSED], [1, 1, 1], **{how: [1]}), classes=1)
        boxes, scores = ([HARD, FOUND], [0.9, 0.8]) if sure else ([FOUND], [0.8])
        found = {ImageKey(1, "a"): detections(boxes, scores, [1] * len(boxes))}
        summary = coco_metrics(truth, found).summary
        # Precision is 1 up to a recall of 1/2 and 0 above: 51 of COCO's 101 recalls, 6 of VOC's 11.
        assert summary["AP"] == summary["AP50"] == pytest.approx(100 * 51 / 101)
        assert summary["AR100"] == pytest.approx(50)
        assert proposal_recall(truth, found)["AR100"] == pytest.approx(50)
        assert voc_metrics(truth, found)["07"]["mean"] == pytest.approx(100 * 6 / 11)
        assert voc_metrics(truth, found)["area"]["mean"] == pytest.approx(50)
        judged = tide(truth, found)
        assert judged.ap50 == pytest.approx(100 * 51 / 101)
        assert judged.counts["Bkg"] == int(sure), "it is named"
        assert judged.main["Bkg"] == judged.special["FalsePos"] == 0, "and costs nothing"
        assert judged.counts["Miss"] == 1
        assert judged.main["Miss"] == pytest.approx(100 - 100 * 51 / 101)


def test_the_hundred_and_first_detection_of_an_image_does_not_count() -> None:
    """Two objects: one is the best detection's, the other the 100th's in one image and the 101st's in the other."""
    for place, recall in ((100, 1.0), (101, 0.5)):
        truth = split(image("a", [FOUND, HARD], [1, 1]), image("b", [MISSED], [2]), classes=2)
        scores = 1 - np.arange(120) / 200
        boxes = [FOUND, *[[0.0, 150, 9, 190 - 0.1 * i] for i in range(119)]]
        boxes[place - 1] = HARD
        # Class 2 has its one object found in an image of its own, and so an AP of 1.
        found = {
            ImageKey(1, "a"): detections(boxes, scores, [1] * 120),
            ImageKey(1, "b"): detections([MISSED], [0.5], [2]),
        }
        late = 2 / place  # its precision where it counts
        ap = 100 * (51 + (50 * late if recall == 1 else 0)) / 101
        judged = tide(truth, found)
        assert judged.ap50 == pytest.approx((ap + 100) / 2)
        assert judged.counts["Bkg"] == 100 - (2 if recall == 1 else 1)
        summary = coco_metrics(truth, found).summary
        assert summary["AP50"] == pytest.approx((ap + 100) / 2)
        assert summary["AR100"] == pytest.approx(100 * (recall + 1) / 2)
        # Of proposals, without classes, a thousand are asked for.
        recalls = proposal_recall(truth, found)
        assert recalls["AR100"] == pytest.approx(100 * (2 * recall + 1) / 3)
        assert recalls["AR1000"] == pytest.approx(100)
        assert recalls["AR1"] == pytest.approx(200 / 3)
