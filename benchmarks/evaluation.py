"""Peak memory and time of an evaluation, each part in a process of its own, against pycocotools' dictionaries.

    python -m benchmarks.evaluation                        # 5,000 images of 1,000 proposals and 100 detections
    python -m benchmarks.evaluation --images 500 --classes 10000
    python -m benchmarks.evaluation --data voc:DIR         # the test images and objects of a data set

Memory is the peak of the process above what it had when the detections were there (``ru_maxrss``); the last column is
the reference's divided by ours in this run. Both are checked to give the same values.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from adept_hub.detectors.detections import Detections
from adept_training.labels.datasets import open_data
from adept_training.labels.identity import ImageKey, Part
from adept_training.labels.records import Floats, LabeledImage, Split
from adept_training.metrics.coco import coco_metrics
from adept_training.metrics.confusion import confusion
from adept_training.metrics.evaluate import evaluate_detections
from adept_training.metrics.recall import RecallMeter
from adept_training.metrics.tide import tide
from adept_training.metrics.voc import voc_metrics
from benchmarks.evaluation_reference import percent, reference_metrics, reference_recall

SIDE, PROPOSALS, DETECTIONS = 640, 1000, 100


def made(images: int, classes: int) -> Split:
    """Images of seven random objects, as many as COCO's have."""
    rng = np.random.default_rng(0)
    return Split("made", tuple(_image(rng, i, classes) for i in range(images)),
                 tuple(f"class {k}" for k in range(1, classes + 1)),
                 (Part(1, "made", Path(), tuple(range(1, classes + 1))),))  # fmt: skip


def _image(rng: np.random.Generator, number: int, classes: int) -> LabeledImage:
    boxes_M4 = _boxes(rng, 7)
    no_M = np.zeros(7, np.bool_)
    area_M = np.prod(boxes_M4[:, 2:] - boxes_M4[:, :2], axis=1)
    return LabeledImage(ImageKey(1, number), Path("none"), "none", SIDE, SIDE, boxes_M4,
                         rng.integers(1, classes + 1, 7), no_M, no_M, area_M)  # fmt: skip


def _boxes(rng: np.random.Generator, count: int) -> Floats:
    corner = rng.uniform(0, SIDE * 0.7, (count, 2))
    return np.concatenate([corner, corner + np.exp(rng.uniform(2.5, 5.5, (count, 2)))], axis=1)


def near(image: LabeledImage, count: int, classes: int) -> Detections:
    """Boxes of which half are near an object and have its class, best first; the same for an image at every call."""
    rng = np.random.default_rng(zlib.crc32(str(image.key.id).encode()))
    boxes_D4, labels_D = _boxes(rng, count), rng.integers(1, classes + 1, count)
    if not len(image):
        return Detections(boxes_D4, np.linspace(1, 0, count), labels_D)
    of_D = rng.integers(0, len(image), count // 2)
    size = np.tile(image.boxes_M4[of_D, 2:] - image.boxes_M4[of_D, :2], 2)
    boxes_D4[: count // 2] = image.boxes_M4[of_D] + rng.normal(0, 0.08, size.shape) * size
    boxes_D4[:, 2:] = np.maximum(boxes_D4[:, 2:], boxes_D4[:, :2] + 1)
    labels_D[: count // 2] = image.labels_M[of_D]
    order = rng.permutation(count)
    return Detections(boxes_D4[order], np.linspace(1, 0, count), labels_D[order])


def _recall(split: Split) -> list[float]:
    """Proposals image by image, as a detector gives them."""
    meter = RecallMeter()
    for image in split.images:
        meter.add(image, near(image, PROPOSALS, 1).boxes_D4)
    return list(meter.result().values())


def _recall_by_pycocotools(split: Split) -> list[float]:
    return reference_recall(split, {image.key: near(image, PROPOSALS, 1) for image in split.images})


def _all(split: Split, found: dict[ImageKey, Detections]) -> list[float | None]:
    """Compute everything that an evaluation with a report does."""
    recall, evaluation = _recall(split), evaluate_detections(split, found)
    return [*recall, *evaluation.flat().values(), len(confusion(split, found).counts)]


def _parts(split: Split) -> Iterator[tuple[str, Callable[[], object]]]:
    found = {image.key: near(image, DETECTIONS, len(split.classes)) for image in split.images}
    yield "recall", lambda: _recall(split)
    yield "recall, pycocotools", lambda: _recall_by_pycocotools(split)
    yield "AP", lambda: list(coco_metrics(split, found).summary.values())
    yield "AP, pycocotools", lambda: percent(reference_metrics(split, found).stats).tolist()
    yield "VOC AP", lambda: len(voc_metrics(split, found))
    yield "TIDE", lambda: tide(split, found).ap50
    yield "confusion", lambda: len(confusion(split, found).counts)
    yield "all of it", lambda: _all(split, found)


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # kB on Linux


def _measure(name: str, split: Split) -> None:
    run = dict(_parts(split))[name]
    before, start = _peak(), time.perf_counter()
    value = run()
    seconds = time.perf_counter() - start
    print(json.dumps({"MB": (_peak() - before) / 1000, "s": seconds, "value": value}))


def main() -> None:
    """Run every part in a fresh process and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--classes", type=int, default=80)
    parser.add_argument("--data", nargs="+", default=[], help="labels, as for adept finetune, instead of random ones")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    args = parser.parse_args()
    split = open_data(args.data).report_split if args.data else made(args.images, args.classes)
    if args.part:
        _measure(args.part, split)
        return
    command = [sys.executable, "-m", "benchmarks.evaluation", "--images", str(args.images)]
    command += ["--classes", str(args.classes), *(["--data", *args.data] if args.data else [])]
    size = f"{len(split)} images, {len(split.classes)} classes"
    print(f"{size}, {PROPOSALS} proposals and {DETECTIONS} detections an image\n")
    print(f"{'part':22}{'MB above start':>15}{'seconds':>10}{'reference / ours, memory, time':>34}")
    rows: dict[str, dict[str, float]] = {}
    for name, _ in _parts(made(1, 1)):
        done = subprocess.run([*command, "--part", name], capture_output=True, text=True, check=True)
        rows[name] = json.loads(done.stdout)
        ours = rows.get(name.removesuffix(", pycocotools"))
        ratio = ""
        if ours is not None and ours is not rows[name]:
            assert np.array_equal(ours["value"], rows[name]["value"], equal_nan=True), f"{name}: other values"
            ratio = f"{rows[name]['MB'] / ours['MB']:.1f}, {rows[name]['s'] / ours['s']:.1f}"
        print(f"{name:22}{rows[name]['MB']:15.0f}{rows[name]['s']:10.1f}{ratio:>34}", flush=True)


if __name__ == "__main__":
    main()
