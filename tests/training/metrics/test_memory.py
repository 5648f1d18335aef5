"""What an evaluation needs of memory: little for an image, nothing for a proposal, nothing for pairs of classes."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
from torch import nn
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from adept_hub.detectors.detections import Detections
from adept_training.metrics.coco import coco_metrics
from adept_training.metrics.confusion import confusion
from adept_training.metrics.evaluate import Evaluation, evaluate
from adept_training.metrics.predict import ModelOutput
from adept_training.metrics.recall import RecallMeter
from adept_training.metrics.report.page import write_report
from adept_training.metrics.tide import tide
from adept_training.metrics.voc import voc_metrics
from benchmarks.evaluation import made, near


def peak(call: Callable[[], object]) -> float:
    """Megabytes of Python and numpy at the worst moment, above those before."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        call()
        return (tracemalloc.get_traced_memory()[1] - before) / 1e6
    finally:
        tracemalloc.stop()


def recall_of(images: int) -> Callable[[], object]:
    split, meter = made(images, 3), RecallMeter()

    def run() -> None:
        for image in split.images:
            meter.add(image, near(image, 1000, 1).boxes_D4)

    return run


def test_recall_keeps_no_proposal() -> None:
    few, many = peak(recall_of(5)), peak(recall_of(40))
    assert many < 1.2 * few + 0.05
    assert many < 1  # pycocotools' dictionaries: 1.5 MB for each image


def test_an_evaluation_keeps_no_proposal(monkeypatch) -> None:
    def answers(model, split, *, heads):
        for image in split.images:
            yield ModelOutput(image, near(image, 1000, 1), near(image, 2, 3) if heads else None)

    monkeypatch.setattr("adept_training.metrics.evaluate.predict_each", answers)

    class Model(GeneralizedRCNN):
        def __init__(self) -> None:
            nn.Module.__init__(self)
            self.roi_heads = SimpleNamespace(has_mask=lambda: False)

    few, many = (peak(lambda count=count: evaluate(Model(), made(count, 3))) for count in (10, 60))
    assert (many - few) / 50 < 0.02, "a thousand proposals are 0.048 MB"
    rpn = evaluate(Model(), made(10, 3), heads=False)
    assert rpn.proposals == evaluate(Model(), made(10, 3)).proposals


def test_an_image_of_a_hundred_detections_needs_little() -> None:
    def run(images: int, metric: Callable) -> float:
        split = made(images, 80)
        found = {image.key: near(image, 100, 80) for image in split.images}
        return peak(lambda: metric(split, found))

    for metric, most in ((coco_metrics, 0.03), (voc_metrics, 0.03), (tide, 0.08), (confusion, 0.005)):
        growth = (run(60, metric) - run(20, metric)) / 40
        assert growth < most, f"{metric.__name__}: {growth:.3f} MB an image"


def test_ten_thousand_classes_need_no_table_of_their_pairs(tmp_path) -> None:
    split = made(20, 10_000)
    found = {image.key: near(image, 100, 10_000) for image in split.images}
    done: list[Evaluation] = []

    def judge_and_report() -> None:
        from adept_training.metrics.evaluate import evaluate_detections

        done.append(evaluate_detections(split, found))
        write_report(done[0], tmp_path / "report.html", "many classes")

    # 105: curves are 81 MB for each area. A table of pairs is 800, pycocotools' tables of all areas and limits 970.
    assert peak(judge_and_report) < 150
    assert np.isfinite(done[0].flat()["AP"])


def test_the_most_frequent_mistakes_are_those_of_the_table() -> None:
    split = made(30, 15)
    found = {image.key: near(image, 60, 15) for image in split.images}
    counted = confusion(split, {key: Detections(one.boxes_D4, one.scores_D, one.labels_D % 15 + 1)
                                for key, one in found.items()})  # fmt: skip
    off = counted.matrix()
    np.fill_diagonal(off, 0)
    off[0] = off[:, 0] = 0
    order = np.argsort(-off, axis=None, kind="stable")[:9]
    expected = [(int(i), int(j), int(off[i, j])) for i, j in (np.unravel_index(at, off.shape) for at in order)]
    assert expected[0][2] > expected[-1][2] > 0
    assert counted.mistaken(9) == expected
