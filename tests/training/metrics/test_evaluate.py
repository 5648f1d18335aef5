"""Every figure stands under its own name: each is compared with what computes it, and all of them differ."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from pycocotools import mask as mask_api

from adept_hub.detectors.detections import Detections
from adept_training.labels.records import Split
from adept_training.metrics.coco import coco_metrics
from adept_training.metrics.evaluate import Evaluation, evaluate_detections
from adept_training.metrics.recall import proposal_recall
from adept_training.metrics.tide import tide
from adept_training.metrics.voc import voc_metrics
from tests.training.made import crowded, imperfect


def _masked(boxes_D4: np.ndarray, side: int, cut: int) -> tuple[dict, ...]:
    """A mask for each box, without its upper ``cut`` rows in ten."""
    masks = []
    for x1, y1, x2, y2 in boxes_D4.round().astype(int).clip(0, side).tolist():
        pixels = np.zeros((side, side), np.uint8, order="F")
        pixels[y1 + (y2 - y1) * cut // 10 : y2, x1:x2] = 1
        masks.append(dict(mask_api.encode(pixels)))
    return tuple(masks)


@pytest.fixture(scope="module")
def judged() -> tuple[Split, dict, dict, Evaluation]:
    truth = crowded(25, seed=4)
    found = imperfect(truth, seed=1)
    proposed = {key: replace(one, labels_D=np.ones_like(one.labels_D)) for key, one in imperfect(truth, seed=2).items()}
    images = tuple(replace(image, masks=_masked(image.boxes_M4, 200, 0)) for image in truth.images)
    truth = replace(truth, images=images, classes=("seen", "also seen", "third", "never there"))
    found = {key: replace(one, masks=_masked(one.boxes_D4, 200, 3)) for key, one in found.items()}
    return truth, found, proposed, evaluate_detections(truth, found, proposal_recall(truth, proposed), masks=True)


def test_every_figure_has_its_own_name(judged: tuple[Split, dict, dict, Evaluation]) -> None:
    truth, found, proposed, evaluation = judged
    boxes, masks = coco_metrics(truth, found), coco_metrics(truth, found, "segm")
    voc, errors = voc_metrics(truth, found), tide(truth, found)
    expected = {
        **boxes.summary,
        **{f"mask_{name}": value for name, value in masks.summary.items()},
        "VOC07_AP50": np.mean([voc["07"][name] for name in truth.classes[:3]]),
        "VOC_AP50": np.mean([voc["area"][name] for name in truth.classes[:3]]),
        **{f"TIDE_{name}": value for name, value in errors.main.items()},
        **{f"TIDE_{name}": value for name, value in errors.special.items()},
        **{f"RPN_{name}": value for name, value in proposal_recall(truth, proposed).items()},
    }
    flat = evaluation.flat()
    assert flat.keys() == expected.keys()
    for name, value in expected.items():
        assert flat[name] == (None if math.isnan(value) else pytest.approx(value, abs=1e-4)), name
    for one, two in (("VOC07_AP50", "VOC_AP50"), ("AP50", "AP75"), ("AP", "mask_AP"), ("RPN_AR10", "AR10"),
                     ("APs", "APm"), ("AR1", "AR10"), ("TIDE_FalsePos", "TIDE_FalseNeg")):  # fmt: skip
        assert abs(flat[one] - flat[two]) > 0.05, f"{one} and {two} could be exchanged unseen"


def test_every_class_has_its_own_figures(judged: tuple[Split, dict, dict, Evaluation]) -> None:
    """Each is that of the class alone, and is not told apart by its place."""
    truth, found, _, evaluation = judged
    report = json.loads(json.dumps(evaluation.as_json(), allow_nan=False))
    assert list(report["per_class"]) == list(truth.classes)
    assert report["per_class"].pop("never there") == dict.fromkeys(("AP", "AP50", "VOC07_AP50", "VOC_AP50"))
    for label, (name, row) in enumerate(report["per_class"].items(), start=1):
        alone = truth.with_classes([name])
        mine = {}
        for key, one in found.items():
            keep = one.labels_D == label
            mine[key] = Detections(one.boxes_D4[keep], one.scores_D[keep], np.ones(keep.sum(), np.int64))
        summary, voc = coco_metrics(alone, mine).summary, voc_metrics(alone, mine)
        assert row == pytest.approx(
            {"AP": summary["AP"], "AP50": summary["AP50"], "VOC07_AP50": voc["07"]["mean"],
             "VOC_AP50": voc["area"]["mean"]}, abs=1e-4,
        )  # fmt: skip
    assert (report["images"], report["objects"]) == (25, sum(map(len, truth.images)))
    assert report["found"] == sum(map(len, found.values()))
    assert report["tide_counts"] == tide(truth, found).counts


def test_figures_that_were_not_asked_for_have_no_names(judged: tuple[Split, dict, dict, Evaluation]) -> None:
    truth, found, proposed, _ = judged
    bare = {key: replace(one, masks=None) for key, one in found.items()}
    assert not [name for name in evaluate_detections(truth, bare).flat() if name.startswith(("mask_", "RPN_"))]
    rpn = Evaluation(truth, {}, proposal_recall(truth, proposed))
    assert list(rpn.flat()) == ["RPN_AR1", "RPN_AR10", "RPN_AR100", "RPN_AR1000"]
    assert rpn.caution == ""
