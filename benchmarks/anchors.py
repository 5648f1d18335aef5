"""Which anchors a pre-trained RPN should have downstream: class-agnostic AR@100 without and after a short fine-tuning.

``python -m benchmarks.anchors --data DIR --out FILE`` (DIR holds ``coco256`` and ``bccd``) measures what FILE, one JSON
object a line, lacks, and prints the tables of all that it then has. ``--minutes`` ends it early; run it again.

The options are those of ``adept export --anchors``: ``downstream`` (32-512 px, weights as they are), ``rescaled``
(32-512 px, box deltas adapted) and ``pretraining`` (24-384 px, weights as they are). A fine-tuning is the shipped
recipe ``cpu_small`` on ten images; every option of a seed gets the same images, batches and fresh predictors.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import torch

from adept_hub.checkpoint.folder import read_tensors, write_checkpoint
from adept_hub.convert.options import DOWNSTREAM_SIZES, Target
from adept_hub.convert.rescale_anchors import rescale_anchors
from adept_hub.hub.fetch import fetch
from adept_training.finetuning.detector import build_detector
from adept_training.finetuning.loop import make_fabric, prepare, train
from adept_training.finetuning.recipe import FinetuneRecipe, load_finetune_recipe
from adept_training.finetuning.samples import LabeledSamples
from adept_training.labels.datasets import open_data
from adept_training.labels.records import Data
from adept_training.labels.subsets import draw, parse_budget
from adept_training.metrics.evaluate import evaluate

SETS = ("coco256", "bccd")
OPTIONS = ("downstream", "rescaled", "pretraining")
#: Shorter sides (px) at which the source is judged as it is; the fine-tuning is at the first.
SIDES = (192, 400)
IMAGES = "10img"
#: Two-sided 95% quantiles of Student's t by degrees of freedom.
_T = {2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262}


class Case(NamedTuple):
    """One measurement; ``iterations`` 0 is the source as it is, and has no seed."""

    data: str
    option: str
    side: int
    iterations: int
    seed: int


def main() -> None:
    """Measure what is lacking, then print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--source", default="adept_joint")
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=SETS, help="measure on these alone")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--iterations", type=int, default=60)
    parser.add_argument("--minutes", type=float, default=float("inf"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    deadline = time.monotonic() + 60 * args.minutes
    known = read(args.out)
    wanted = [c for c in cases(args.seeds, args.iterations) if c not in known and c.data in args.sets]
    with tempfile.TemporaryDirectory() as name:
        for case in wanted:
            if time.monotonic() > deadline:
                print(f"{sum(case not in read(args.out) for case in wanted)} cases are left: run it again")
                break
            figures = measure(case, args.source, args.data, Path(name))
            with args.out.open("a") as lines:
                lines.write(json.dumps({**case._asdict(), **figures}) + "\n")
    print_tables(read(args.out), args.iterations)


def cases(seeds: int, iterations: int) -> Iterator[Case]:
    """Yield the source at the first side, then the fine-tunings by seed, then the source at the other sides."""
    yield from (Case(data, option, SIDES[0], 0, 0) for data in SETS for option in OPTIONS)
    for seed in range(seeds):
        yield from (Case(data, option, SIDES[0], iterations, seed) for data in SETS for option in OPTIONS)
    yield from (Case(data, option, side, 0, 0) for data in SETS for side in SIDES[1:] for option in OPTIONS)


def measure(case: Case, source: str, folder: Path, scratch: Path) -> dict[str, Any]:
    """AR@100 and AR@1000 of the RPN, of the test split, or else of val."""
    data, start = open_labels(folder, case.data), time.perf_counter()
    recipe = recipe_of(case, source)
    weights = rescaled(source, scratch) if case.option == "rescaled" else source
    model = build_detector(weights, len(data.classes), recipe.detector, recipe.engine.seed)
    precise: AbstractContextManager[None] = contextlib.nullcontext()
    if case.iterations:
        chosen = draw(data.train, parse_budget(IMAGES), case.seed)
        samples = LabeledSamples.of(chosen, False, recipe.engine.flip, recipe.engine.seed)
        fit = prepare(model, samples, recipe, make_fabric(recipe, "cpu"))
        train(fit, lambda step, losses: False)
        precise = fit.precise()
    with precise:
        figures = evaluate(model, data.report_split, heads=False).flat()
    return {**figures, "seconds": round(time.perf_counter() - start, 1)}


def open_labels(folder: Path, name: str) -> Data:
    """Open the data set with this name in a folder of data sets."""
    if name == "bccd":
        return open_data(f"voc:{folder / name}")
    ends = ("train2017", "val2017")
    return open_data([f"coco:{folder / name / f'instances_{end}.json'}:{folder / name / end}" for end in ends])


def recipe_of(case: Case, source: str) -> FinetuneRecipe:
    """``cpu_small`` with the option's anchors; the last detector is judged, none is chosen."""
    recipe = load_finetune_recipe("cpu_small")
    longest = recipe.detector.max_side * case.side // recipe.detector.test_side
    anchors = Target(anchors=case.option).anchor_sizes(fetch(source).config.spec)  # type: ignore[arg-type]  # one of them
    detector = dataclasses.replace(recipe.detector, anchors=anchors, test_side=case.side, max_side=longest)
    return dataclasses.replace(
        recipe,
        detector=detector,
        norms=dataclasses.replace(recipe.norms, precise_batches=10),
        schedule=dataclasses.replace(recipe.schedule, iterations=case.iterations),
        engine=dataclasses.replace(recipe.engine, seed=case.seed, threads=1),
    )


def rescaled(source: str, scratch: Path) -> str:
    """Write a checkpoint folder whose RPN decodes the same boxes on the downstream anchors as on its own."""
    folder, fetched = scratch / "rescaled", fetch(source)
    if not folder.exists():
        config = fetched.config
        tensors = rescale_anchors(read_tensors(fetched.folder, config), config.spec, DOWNSTREAM_SIZES)
        write_checkpoint(
            folder,
            tensors,
            name=config.name,
            spec=config.spec,
            provenance=config.provenance,
            license=config.license,
            parts=config.parts,
            preprocessing=config.preprocessing,
        )
    return str(folder)


def read(path: Path) -> dict[Case, dict[str, Any]]:
    """Read the results measured so far."""
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return {Case(*(row[field] for field in Case._fields)): row for row in rows}


def print_tables(known: dict[Case, dict[str, Any]], iterations: int) -> None:
    """AR@100 as it is by side, and after the fine-tuning with paired differences to ``downstream``."""
    print("AR@100 (%) of the source as it is, by shorter side")
    for data in SETS:
        for option in OPTIONS:
            found = [known.get(Case(data, option, side, 0, 0)) for side in SIDES]
            cells = " ".join(f"{row['RPN_AR100']:6.2f}" if row else "     -" for row in found)
            print(f"{data:8s} {option:12s} {cells}")
    print(f"\nAR@100 after {iterations} iterations on ten images at {SIDES[0]} px: mean and standard deviation")
    print("over seeds, and the mean difference to downstream, seed by seed, with its 95% interval")
    for data in SETS:
        print_finetuned(known, data, "RPN_AR100", iterations)


def print_finetuned(known: dict[Case, dict[str, Any]], data: str, figure: str, iterations: int) -> None:
    """One figure of one data set, over the seeds that every option has."""
    rows = [(c, row[figure]) for c, row in known.items() if (c.data, c.iterations) == (data, iterations)]
    values = {option: {c.seed: value for c, value in rows if c.option == option} for option in OPTIONS}
    seeds = sorted(set.intersection(*(set(of) for of in values.values())))
    if len(seeds) < 3:
        print(f"{data:8s} {len(seeds)} seeds: too few")
        return
    for option, of in values.items():
        mean, spread = statistics.mean(of[s] for s in seeds), statistics.stdev(of[s] for s in seeds)
        line = f"{data:8s} {option:12s} {mean:6.2f} +- {spread:.2f} (n={len(seeds)})"
        if option != "downstream":
            gaps = [of[s] - values["downstream"][s] for s in seeds]
            half = _T[len(seeds) - 1] * statistics.stdev(gaps) / len(seeds) ** 0.5
            gap = statistics.mean(gaps)
            line += f"   {gap:+.2f} [{gap - half:+.2f}, {gap + half:+.2f}]"
        print(line)


if __name__ == "__main__":
    main()
