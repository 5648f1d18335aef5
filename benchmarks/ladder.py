"""Does pre-training earn its minutes? The first two rungs: scratch's own curve, and boxes as a pretext.

``python -m benchmarks.ladder --data DIR --out DIR`` (the first DIR holds ``steel``) runs what OUT lacks, seed by seed,
and prints what it then has. ``--minutes`` ends it early; run it again to continue.

Rung 0: scratch, learning rate x iterations, to where it stops gaining. Rung 1: a detector trained on the training half
with (a) true boxes and classes, (b) true boxes and one class, (d) a blind grid of one class, then fine-tuned on few
labeled images, against scratch. The rates of rung 0 are at a batch of 16 and scaled to a batch of 4. All arms have
anchors of 24-384 px, a shorter side of 160 px and a score threshold of .001. Metrics are of 150 validation images,
every second one: the test half stays untouched.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from adept_hub.hub.fetch import fetch
from adept_training.comparing.runs import ComparisonPlan, RunResult, run_plan
from adept_training.finetuning.recipe import FinetuneRecipe, load_finetune_recipe
from adept_training.finetuning.run import finetune
from adept_training.labels.datasets import open_data
from adept_training.labels.records import Data

#: The architecture of every arm: that of the bundled weights, ResNet-18 with an FPN of 128 channels.
ARCHITECTURE = "adept_joint"
RATES = (0.02, 0.04, 0.08, 0.16)
LENGTHS = (300, 650, 1300, 2600)
SEEDS = 5
BUDGETS = ("10img", "60img")
JUDGED = 150
PRETRAINING = 1800
#: The blind grid: sides of boxes as shares of the image, and boxes along each side.
GRID = ((0.3, 5), (0.5, 4), (0.75, 3))


def main() -> None:
    """Run what is lacking, then print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, type=Path, help="folder that holds steel/")
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--rung", type=int, choices=(0, 1), default=0)
    parser.add_argument("--lr", type=float, default=0.16, help="rung 1: rate of the fine-tunings (default 0.16)")
    parser.add_argument("--iterations", type=int, default=300, help="rung 1: length of the fine-tunings")
    parser.add_argument("--minutes", type=float, default=1e9, help="start no run after so long")
    args = parser.parse_args()
    deadline = time.monotonic() + 60 * args.minutes
    steel = args.data / "steel"
    work = _scratch_curve(steel, args.out) if args.rung == 0 else _boxes(steel, args.out, args.lr, args.iterations)
    for run in work:
        if time.monotonic() > deadline:
            break
        run()
    _print(args.out)


def _scratch_curve(steel: Path, out: Path) -> Iterator[Callable[[], object]]:
    data = _data(steel, steel / "train.json")
    spec = fetch(ARCHITECTURE).config.spec
    for length, seeds, rate in itertools.product(LENGTHS, range(1, SEEDS + 1), RATES):
        plan = ComparisonPlan({"scratch": "scratch"}, BUDGETS[1:], seeds, {"": _recipe(rate, length)}, spec)
        folder = out / "rung0" / f"lr{rate:g}-{length}"
        yield lambda plan=plan, folder=folder: run_plan(plan, data, folder)


def _boxes(steel: Path, out: Path, rate: float, length: int) -> Iterator[Callable[[], object]]:
    spec = fetch(ARCHITECTURE).config.spec
    labels = {"true-classes": _same, "true-boxes": one_class, "grid": grid_labels}
    for name, change in labels.items():
        path = out / "rung1" / "labels" / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(change(json.loads((steel / "train.json").read_text(encoding="utf-8")))))
        run = out / "rung1" / "starts" / name
        yield lambda path=path, run=run: _pretrain(steel, path, run, rate)
    starts = {name: str(out / "rung1" / "starts" / name / "last") for name in labels}
    data = _data(steel, steel / "train.json")
    for seeds in range(1, SEEDS + 1):
        for budget in BUDGETS:
            plan = ComparisonPlan({"scratch": "scratch", **starts}, (budget,), seeds, {"": _recipe(rate, length)}, spec)
            folder = out / "rung1" / f"{budget}-lr{rate:g}-{length}"
            yield lambda plan=plan, folder=folder: run_plan(plan, data, folder)


def _pretrain(steel: Path, annotations: Path, run: Path, rate: float) -> None:
    if (run / "last").is_dir():
        return
    recipe = _recipe(rate, PRETRAINING)
    data = replace(open_data([f"coco:{annotations}:{steel / 'images'}"], skip_damaged=True), val=None)
    finetune("scratch", data, recipe, run, like=ARCHITECTURE, resume=(run / "checkpoints").is_dir(), stream=sys.stderr)


def _recipe(rate: float, iterations: int) -> FinetuneRecipe:
    settings = {
        "detector.anchors": [24, 48, 96, 192, 384], "detector.train_sides": [160], "detector.test_side": 160,
        "detector.max_side": 320, "detector.score_threshold": 0.001, "optimizer.lr": rate,
        "schedule.iterations": iterations, "engine.batch_size": 4,
    }  # fmt: skip
    return load_finetune_recipe("cpu_small", [f"{name}={value}" for name, value in settings.items()])


def _data(steel: Path, train: Path) -> Data:
    data = open_data([f"coco:{train}:{steel / 'images'}", f"coco:{steel / 'val.json'}:{steel / 'images'}"])
    assert data.val is not None
    return replace(data, val=replace(data.val, images=data.val.images[::2][:JUDGED]))


def _same(content: dict[str, Any]) -> dict[str, Any]:
    return content


def one_class(content: dict[str, Any]) -> dict[str, Any]:
    """Return COCO content whose objects are all of one class."""
    objects = [{**row, "category_id": 1} for row in content["annotations"]]
    return {**content, "categories": [{"id": 1, "name": "object"}], "annotations": objects}


def grid_labels(content: dict[str, Any]) -> dict[str, Any]:
    """Return COCO content whose objects are the same blind grid in every image, of one class."""
    objects: list[dict[str, Any]] = []
    for image in content["images"]:
        for share, count in GRID:
            w, h = share * image["width"], share * image["height"]
            for i, j in itertools.product(range(count), repeat=2):
                x, y = (image["width"] - w) * i / (count - 1), (image["height"] - h) * j / (count - 1)
                objects.append({
                    "id": len(objects) + 1, "image_id": image["id"], "category_id": 1, "iscrowd": 0,
                    "bbox": [x, y, w, h], "area": w * h,
                })  # fmt: skip
    return {**content, "categories": [{"id": 1, "name": "object"}], "annotations": objects}


def _print(out: Path) -> None:
    for path in sorted(out.glob("rung*/*/runs.jsonl")):
        cells: list[RunResult] = []
        for line in path.read_text(encoding="utf-8").splitlines():
            content = json.loads(line)
            content.pop("plan")
            cells.append(RunResult(**content))
        for source in dict.fromkeys(cell.source for cell in cells):
            rows = [cell for cell in cells if cell.source == source]
            words = [f"{metric} {_spread([row.metrics.get(metric) or 0.0 for row in rows])}" for metric in _METRICS]
            seconds = statistics.median(row.seconds for row in rows)
            sys.stdout.write(
                f"{path.parent.parent.name} {path.parent.name} {source}: {'  '.join(words)}  {seconds:.0f} s\n"
            )


_METRICS = ("AP", "AP50", "AR@100")


def _spread(values: list[float]) -> str:
    deviation = f" ± {statistics.stdev(values):.1f} (sd)" if len(values) > 1 else ""
    return f"{statistics.mean(values):.1f}{deviation} of {len(values)}"


if __name__ == "__main__":
    main()
