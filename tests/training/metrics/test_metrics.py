"""AP and AR against pycocotools called directly, VOC's AP by hand, TIDE against tidecv."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import math
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from adept_hub.detectors.detections import Detections
from adept_training.labels.datasets import open_data
from adept_training.labels.identity import ImageKey
from adept_training.metrics.coco import coco_metrics
from adept_training.metrics.coco_files import as_coco_json, detections_of
from adept_training.metrics.recall import proposal_recall
from adept_training.metrics.tide import MAIN, tide
from adept_training.metrics.voc import eleven_points, voc_metrics
from tests.training.made import crowded, detections, image, imperfect, split

ASSET = Path(__file__).parent / "assets" / "coco256_detections.json.gz"


def quiet(call, *args):
    with contextlib.redirect_stdout(io.StringIO()):
        return call(*args)


def oracle_ap(annotations: Path, rows: list[dict]) -> np.ndarray:
    truth = quiet(COCO, str(annotations))
    evaluation = COCOeval(truth, quiet(truth.loadRes, rows), "bbox")
    for step in (evaluation.evaluate, evaluation.accumulate, evaluation.summarize):
        quiet(step)
    return np.where(evaluation.stats < 0, np.nan, evaluation.stats * 100)  # -1: nothing of that size


@pytest.fixture
def coco256(data: Path):
    folder = data / "coco256"
    loaded = open_data(f"coco:{folder / 'instances_val2017.json'}:{folder / 'val2017'}")
    return loaded.report_split, folder / "instances_val2017.json"


def test_ap_of_a_trained_detector_on_coco256_is_pycocotools_own(coco256) -> None:
    truth, annotations = coco256
    rows = json.loads(gzip.decompress(ASSET.read_bytes()))
    found = detections_of(rows, truth)
    written = as_coco_json(truth, found)
    assert len(written) == len(rows)
    by_score = [
        sorted(group, key=lambda row: (row["image_id"], row["score"], row["bbox"])) for group in (written, rows)
    ]
    for one, two in zip(*by_score, strict=True):
        assert (one["image_id"], one["category_id"], one["score"]) == (
            two["image_id"],
            two["category_id"],
            two["score"],
        )
        np.testing.assert_allclose(one["bbox"], two["bbox"], atol=1e-9)
    ours = list(coco_metrics(truth, found).summary.values())
    expected = oracle_ap(annotations, rows)
    assert expected[0] > 0.1  # a detector that finds something
    np.testing.assert_allclose(ours, expected, atol=1e-6)


def test_ap_with_crowds_and_ar_of_proposals(tmp_path: Path) -> None:
    truth = crowded()
    found = imperfect(truth)
    annotations = [
        {
            "id": i + 1, "image_id": one.key.id, "category_id": 10 + int(one.labels_M[m]),
            "iscrowd": int(one.crowd_M[m]),
            "bbox": [*one.boxes_M4[m, :2], *(one.boxes_M4[m, 2:] - one.boxes_M4[m, :2])], "area": one.area_M[m],
        }
        for i, (one, m) in enumerate((one, m) for one in truth.images for m in range(len(one)))
    ]  # fmt: skip
    categories = [{"id": i, "name": name} for i, name in enumerate(truth.classes, 11)]
    images = [{"id": one.key.id, "width": 200, "height": 200} for one in truth.images]
    path = tmp_path / "truth.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    rows = as_coco_json(truth, found)
    np.testing.assert_allclose(list(coco_metrics(truth, found).summary.values()), oracle_ap(path, rows), atol=1e-6)

    # class-agnostic AR: pycocotools on one and the same category for all, with the limits 1, 10, 100, 1000
    for row in [*annotations, *rows]:
        row["category_id"] = 11
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories[:1]}))
    index = quiet(COCO, str(path))
    evaluation = COCOeval(index, quiet(index.loadRes, rows), "bbox")
    evaluation.params.maxDets = [1, 10, 100, 1000]
    quiet(evaluation.evaluate)
    quiet(evaluation.accumulate)
    expected = evaluation.eval["recall"][:, 0, 0].mean(axis=0) * 100
    np.testing.assert_allclose(list(proposal_recall(truth, found).values()), expected, atol=1e-6)
    assert 0 < expected[0] < expected[1] <= expected[2]


def test_masks_are_judged_by_their_pixels() -> None:
    left, right = [[10.0, 10, 60, 10, 60, 110, 10, 110]], [[60.0, 10, 110, 10, 110, 110, 60, 110]]
    from adept_training.metrics.detections import to_rle

    truth = split(image("1", [[10, 10, 110, 110]], [1], masks=([*left],)), classes=1)
    box = np.array([[10.0, 10, 110, 110]])
    for polygon, expected in ((left, 100.0), (right, 0.0)):
        found = {ImageKey(1, "1"): Detections(box, np.array([0.9]), np.array([1]), (to_rle(polygon, 200, 200),))}
        assert coco_metrics(truth, found, "segm").summary["AP"] == pytest.approx(expected)
        assert coco_metrics(truth, found, "bbox").summary["AP"] == pytest.approx(100)


def test_nothing_found_is_zero_and_an_absent_class_is_unknown() -> None:
    truth = split(image("1", [[0, 0, 20, 20]], [1]), classes=2)
    metrics = coco_metrics(truth, {})
    assert metrics.summary["AP"] == 0
    assert math.isnan(metrics.per_class["class 2"]["AP"])
    assert proposal_recall(truth, {})["AR1000"] == 0
    assert tide(truth, {}).ap50 == 0


def test_voc_ap_worked_by_hand() -> None:
    truth = split(
        image("a", [[0, 0, 10, 10], [50, 50, 70, 70]], [1, 1]),
        image("b", [[0, 0, 10, 10], [30, 30, 50, 50]], [1, 1], difficult=[1]),
        classes=1,
    )
    found = {
        # right at exactly IoU 0.5; a duplicate of it; then the second object
        ImageKey(1, "a"): detections([[0, 0, 10, 5], [0, 0, 10, 10], [50, 50, 70, 71]], [0.9, 0.8, 0.6], [1, 1, 1]),
        # a miss by position; then the difficult object, which does not count
        ImageKey(1, "b"): detections([[100, 100, 120, 120], [30, 30, 50, 50]], [0.7, 0.95], [1, 1]),
    }
    # in order of score: right (0.9), double (0.8), wrong (0.7), right (0.6); three objects count
    # recall 1/3 1/3 1/3 2/3, precision 1 1/2 1/3 1/2
    result = voc_metrics(truth, found)
    assert result["area"]["class 1"] == pytest.approx(100 * (1 / 3 * 1 + 1 / 3 * 0.5))
    # recall levels 0-0.3: precision 1 (four of them); 0.4-0.6: 1/2 (three); above: 0
    assert result["07"]["class 1"] == pytest.approx(100 * (4 * 1 + 3 * 0.5) / 11)
    assert result["07"]["mean"] == result["07"]["class 1"]


def test_voc_counts_what_is_found_in_images_without_such_objects() -> None:
    truth = split(image("a", [[0, 0, 10, 10]], [1]), image("b", [[0, 0, 10, 10]], [2]), classes=2)
    found = {
        ImageKey(1, "a"): detections([[0, 0, 10, 10]], [0.5], [1]),
        ImageKey(1, "b"): detections([[0, 0, 10, 10]], [0.9], [1]),
    }
    # wrong (0.9), right (0.5): precision 1/2 at every recall
    assert voc_metrics(truth, found)["area"]["class 1"] == voc_metrics(truth, found)["07"]["class 1"] == 50.0


def test_eleven_points_count_a_recall_of_exactly_three_tenths() -> None:
    recall = np.arange(1, 4) / 10
    assert eleven_points(recall, np.ones(3)) == pytest.approx(4 / 11)


@mpl.rc_context()  # it sets seaborn's style for the process
def run_tidecv(truth, found):
    tidecv = pytest.importorskip("tidecv", reason="needs the TIDE package (make frameworks)")
    gt, dt = tidecv.Data("gt"), tidecv.Data("dt")
    for one in truth.images:
        gt.add_image(int(one.key.id), f"{one.key.id}")
        for box, label, crowd in zip(one.boxes_M4, one.labels_M, one.crowd_M, strict=True):
            add = gt.add_ignore_region if crowd else gt.add_ground_truth
            add(int(one.key.id), int(label), [*box[:2], *(box[2:] - box[:2])])
        det = found[one.key]
        for box, score, label in zip(det.boxes_D4, det.scores_D, det.labels_D, strict=True):
            dt.add_detection(int(one.key.id), int(label), float(score), [*box[:2], *(box[2:] - box[:2])])
    runner = tidecv.TIDE()
    run = quiet(lambda: runner.evaluate(gt, dt, mode=tidecv.TIDE.BOX))
    named = {kind.short_name: value for kind, value in {**run.fix_main_errors(), **run.fix_special_errors()}.items()}
    counts = {kind.short_name: len(rows) for kind, rows in run.error_dict.items()}
    return run.ap, named, counts


@pytest.mark.parametrize("seed", range(6))
def test_tide_equals_tidecv(seed: int) -> None:
    truth = crowded(seed=seed)
    found = imperfect(truth, seed)
    ap, named, counts = run_tidecv(truth, found)
    ours = tide(truth, found)
    assert ours.ap50 == pytest.approx(ap, abs=1e-6)
    assert {**ours.main, **ours.special} == pytest.approx(named, abs=1e-6)
    assert ours.counts == counts
    assert all(counts[kind] for kind in MAIN)


def test_tide_equals_tidecv_on_a_trained_detector(coco256) -> None:
    truth, _ = coco256
    found = detections_of(json.loads(gzip.decompress(ASSET.read_bytes())), truth)
    found = {one.key: found.get(one.key, Detections.none()) for one in truth.images}
    ap, named, counts = run_tidecv(truth, found)
    ours = tide(truth, found)
    assert ours.ap50 == pytest.approx(ap, abs=1e-6)
    assert {**ours.main, **ours.special} == pytest.approx(named, abs=1e-6)
    assert ours.counts == counts
