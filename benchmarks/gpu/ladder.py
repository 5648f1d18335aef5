"""The ladder's rungs 0, 1 and 3 on one domain: starts of several kinds, fine-tuned on few labels in paired draws.

``python -m benchmarks.gpu.ladder --corpus DIR --out DIR --seconds S`` runs, S seconds long, what this module lists in
order of importance; ``results.jsonl`` gets a line for every finished job. ``--rehearsal`` runs all of it on a CPU with
every size at its smallest. The corpus is that of ``benchmarks.gpu.pack``.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from adept_hub.detectors.folder import DetectorConfig
from adept_hub.hub.fetch import fetch
from adept_training.comparing.runs import Cell, ComparisonPlan, run_cell
from adept_training.finetuning.detector import build_detector, save_detector
from adept_training.finetuning.loop import make_fabric, prepare, train
from adept_training.finetuning.recipe import FinetuneRecipe, load_finetune_recipe
from adept_training.finetuning.samples import LabeledSamples
from adept_training.labels.datasets import open_data
from adept_training.labels.records import Data
from adept_training.labels.subsets import draw, parse_budget
from benchmarks.gpu.jobs import Job, run_jobs

#: The architecture of every arm: that of the bundled weights, ResNet-18 with an FPN of 128 channels.
ARCHITECTURE = "adept_joint"
RATES = (0.04, 0.08, 0.16)
#: Draws that come before everything else.
FIRST = 3


@dataclass(frozen=True)
class Size:
    """How much is done. ``iterations`` are those of a fine-tuning, ``pretraining`` those of a start."""

    iterations: int = 500
    lengths: tuple[int, ...] = (500, 1000, 2000)
    pretraining: int = 900
    minutes: float = 1.5
    draws: int = 5
    judged: int = 200
    batch: int = 8
    settings: tuple[str, ...] = ()
    #: Options of ``adept pretrain`` that come last.
    smallest: tuple[str, ...] = ()


SMALLEST = Size(
    2, (2,), 2, 0.03, 1, 4, 2, ("detector.rois=8", "norms.precise_batches=1"),
    ("--set", "engine.batch_size=2", "--set", "views.sizes=[64,64,32]", "--set", "data.held_out=2",
     "--set", "data.workers=1", "--set", "engine.precision=fp32"),
)  # fmt: skip


@dataclass(frozen=True)
class Domain:
    """A packed data set: ``images``, ``train.json``, ``val.json``, other labels of the training images, a table."""

    folder: Path
    size: Size

    @cache  # noqa: B019  # a domain lives as long as its process
    def open(self, *labels: str) -> Data:
        """Open COCO files of the domain: the first is for training, a second for validation."""
        data = open_data([f"coco:{self.folder / name}.json:{self.folder / 'images'}" for name in labels])
        if data.val is None:
            return data
        places = np.linspace(0, len(data.val) - 1, min(self.size.judged, len(data.val))).round().astype(int)
        return replace(data, val=replace(data.val, images=tuple(data.val.images[place] for place in places)))

    def recipe(self, rate: float, iterations: int) -> FinetuneRecipe:
        settings = {
            "detector.anchors": [24, 48, 96, 192, 384], "detector.train_sides": [160], "detector.test_side": 160,
            "detector.max_side": 320, "detector.score_threshold": 0.001, "optimizer.lr": rate,
            "schedule.iterations": iterations, "engine.batch_size": self.size.batch,
        }  # fmt: skip
        return load_finetune_recipe("cpu_small", [f"{k}={v}" for k, v in settings.items()] + [*self.size.settings])


def pretrain_on_boxes(domain: Domain, labels: str, rate: float, folder: Path) -> dict[str, Any]:
    """Train a detector by its ordinary losses on pseudo-labeled boxes; write it to ``folder``."""
    data, recipe = domain.open(labels), domain.recipe(rate, domain.size.pretraining)
    spec = fetch(ARCHITECTURE).config.spec
    fabric = make_fabric(recipe)
    samples = LabeledSamples.of(data.train, False, recipe.engine.flip, 0)
    recipe = recipe.resolved(len(samples), fabric.device.type != "cpu")
    fit = prepare(build_detector("scratch", len(data.classes), recipe.detector, 0, spec), samples, recipe, fabric)
    losses: list[dict[str, float]] = []
    train(fit, lambda _, values: losses.append(values or {}))
    with fit.precise():
        config = DetectorConfig("scratch", data.classes, recipe.detector, fit.step, {})
        save_detector(folder, fit.model, config, spec, None)
    logged = [row for row in losses if row]
    return {"labels": labels, "images": len(samples), "classes": len(data.classes), "losses": logged[-1:]}


def pretrain_by_contrast(domain: Domain, options: tuple[str, ...], folder: Path) -> dict[str, Any]:
    """Run ``adept pretrain`` on the domain's training images with its table of boxes."""
    command = [
        sys.executable, "-m", "adept_hub.cli.main", "pretrain", "--images", str(domain.folder / "images" / "train"),
        "--proposals", str(domain.folder / "table"), "--minutes", str(domain.size.minutes), "--out", str(folder),
        *options, *domain.size.smallest,
    ]  # fmt: skip
    ended = subprocess.run(command, capture_output=True, text=True)
    if ended.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{ended.stdout[-2000:]}\n{ended.stderr[-4000:]}")
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return {"options": options, "log": [row for row in log if row.get("event") in ("train", "probe", "end")][-4:]}


def finetune_cell(
    domain: Domain, name: str, source: str, budget: str, seed: int, rate: float, length: int
) -> dict[str, Any]:
    """Fine-tune one source on one draw of labels; metrics are of the validation images."""
    data, spec = domain.open("train", "val"), fetch(ARCHITECTURE).config.spec
    plan = ComparisonPlan({name: source}, (budget,), seed + 1, {"": domain.recipe(rate, length)}, spec)
    cell = Cell(name, parse_budget(budget), seed, "")
    subset = draw(data.pool(), cell.budget, seed)
    return asdict(run_cell(cell, plan, data, subset)) | {"lr": rate, "length": length}


@dataclass(frozen=True)
class Arms:
    """The starts of a domain by name: labels of a detector's pre-training, or options of ``adept pretrain``."""

    boxes: dict[str, str]
    contrasts: dict[str, tuple[str, ...]]


def list_jobs(
    domain: Domain, arms: Arms, out: Path, rate: float, label: str, labels: list[str]
) -> Iterator[tuple[int, Job]]:
    """Yield all jobs and their ranks: those of rank 0 come first in every domain."""
    starts = {name: out / "starts" / f"{label}-{name}" for name in (*arms.boxes, *arms.contrasts)}
    for name, file in arms.boxes.items():
        yield 0, Job(f"{label}/{name}", partial(pretrain_on_boxes, domain, file, rate, starts[name]))
    for name, options in arms.contrasts.items():
        yield 0, Job(f"{label}/{name}", partial(pretrain_by_contrast, domain, options, starts[name]))
    fit, size = partial(finetune_cell, domain), domain.size
    sources: dict[str, tuple[str, tuple[str, ...]]] = {"scratch": ("scratch", ())}
    sources |= {
        name: (str(folder / "export" if name in arms.contrasts else folder), (f"{label}/{name}",))
        for name, folder in starts.items()
    }
    for budget, seed, (name, (source, needs)) in itertools.product(labels, range(size.draws), sources.items()):
        work = partial(fit, name, source, budget, seed, rate, size.iterations)
        yield (
            (0 if seed < FIRST and budget == labels[0] else 2),
            Job(f"{label}/fit/{name}/{budget}/{seed}", work, needs),
        )
    for length, lr in itertools.product(size.lengths, RATES):
        if (length, lr) != (size.iterations, rate):  # that is one of the fits above
            yield 1, Job(f"{label}/rung0/{length}/{lr}", partial(fit, "scratch", "scratch", labels[0], 0, lr, length))
    longer = size.iterations + size.pretraining
    for seed in range(min(size.draws, FIRST)):
        work = partial(fit, "scratch-longer", "scratch", labels[0], seed, rate, longer)
        yield 1, Job(f"{label}/longer/{seed}", work)
    for lr, (name, (source, needs)) in itertools.product((rate / 2, rate * 2), sources.items()):
        work = partial(fit, name, source, labels[0], 0, lr, size.iterations)
        yield 2, Job(f"{label}/rates/{name}/{lr}", work, needs)


def main() -> None:
    """Run until the time is over."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", required=True, type=Path)
    parser.add_argument("--domains", nargs="+", default=["steel"])
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--seconds", required=True, type=float)
    parser.add_argument("--workers", type=int, default=12)
    parser.add_argument("--lr", type=float, default=0.08)
    parser.add_argument("--iterations", type=int, default=Size.iterations)
    parser.add_argument("--pretraining", type=int, default=Size.pretraining, help="iterations of a start")
    parser.add_argument("--minutes", type=float, default=Size.minutes, help="of a contrast")
    parser.add_argument("--rehearsal", action="store_true")
    args = parser.parse_args()
    deadline = time.monotonic() + args.seconds
    size = SMALLEST if args.rehearsal else Size(args.iterations, pretraining=args.pretraining, minutes=args.minutes)
    per_domain = []
    for name in args.domains:
        domain = Domain(args.corpus / name, size)
        arms = json.loads((domain.folder / "arms.json").read_text(encoding="utf-8"))
        contrasts = {key: tuple(options) for key, options in arms["contrasts"].items()}
        per_domain.append(list_jobs(domain, Arms(arms["boxes"], contrasts), args.out, args.lr, name, arms["labels"]))
    jobs = [job for _, job in sorted(itertools.chain(*per_domain), key=lambda row: row[0])]
    args.out.mkdir(parents=True, exist_ok=True)
    with (args.out / "results.jsonl").open("a", encoding="utf-8") as results:
        for finished in run_jobs(jobs, args.workers, deadline):
            results.write(json.dumps(asdict(finished)) + "\n")
            results.flush()
            metrics = finished.result.get("metrics", {})
            words = "  ".join(f"{key} {metrics[key]}" for key in ("AP", "AP50", "AR100", "RPN_AR100") if key in metrics)
            last = finished.error.strip().splitlines()[-1:]
            sys.stdout.write(f"{finished.seconds:7.1f} s  {finished.name}  {words}{' '.join(last)}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
