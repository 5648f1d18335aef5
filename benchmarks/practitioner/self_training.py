"""Do unlabeled images add to few labels, from random and from pre-trained weights, and do the two gains add up?

``python -m benchmarks.practitioner.self_training --data voc:DIR:train:val --unlabeled TRAIN.txt --out DIR`` fine-tunes
`scratch` and `detection` on 1, 3, 10 and 30 labeled images of DATA, with and without the unlabeled ones, five seeds
each, and evaluates on its validation split. A seed has the same labeled images in the same order in all four arms, and
all have the same number of iterations: those with a teacher begin it at half. Settings are those of `adept finetune`'s
recipe `cpu_small`, smaller, chosen on no run of this benchmark. What DIR holds is kept: run it again to continue.
"""

from __future__ import annotations

import argparse
import itertools
import json
import shutil
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import adept_training
from adept_hub.io.write import append_line
from adept_training.metrics.stats import interval
from benchmarks.existing_backbone import FINETUNING

#: Bundled weights whose architecture scratch has, too.
START = "detection"
COUNTS = (1, 3, 10, 30)
SEEDS = 5
#: Name of an arm: its start, and whether it has unlabeled images.
ARMS = {
    "scratch": ("scratch", False),
    "scratch + self-training": ("scratch", True),
    "pre-trained": (START, False),
    "pre-trained + self-training": (START, True),
}


def main() -> None:
    """Run what is lacking, seed by seed, then print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, nargs="+", help="labeled images, as for adept finetune")
    parser.add_argument("--unlabeled", required=True, help="unlabeled images; none of the validation split")
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--counts", type=int, nargs="+", default=COUNTS, help="labeled images (default 1 3 10 30)")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--iterations", type=int, default=300)
    parser.add_argument("--minutes", type=float, default=1e9, help="start no run after so long")
    args = parser.parse_args()
    rows, deadline = args.out / "runs.jsonl", time.monotonic() + 60 * args.minutes
    done = {_key(row) for row in read(rows)}
    for seed, count, arm in itertools.product(range(args.seeds), args.counts, ARMS):
        if (arm, count, seed, args.iterations) in done:
            continue
        if time.monotonic() > deadline:
            break
        append_line(rows, json.dumps(run(arm, count, seed, args)))
    sys.stdout.write("\n".join(summary(read(rows))) + "\n")


def run(arm: str, count: int, seed: int, args: argparse.Namespace) -> dict[str, Any]:
    """Train one detector, and return its metrics on the validation split; its files are removed."""
    (source, teaches), folder, began = ARMS[arm], args.out / "run", time.perf_counter()
    shutil.rmtree(folder, ignore_errors=True)
    result = adept_training.finetune(
        source, args.data, folder, recipe="cpu_small", labels=f"{count}img", stream=sys.stderr,
        like=START if source == "scratch" else None, unlabeled=args.unlabeled if teaches else None,
        settings=[*FINETUNING, f"engine.seed={seed}", f"schedule.iterations={args.iterations}"],
    )  # fmt: skip
    if result.interrupted or result.report is None:
        sys.exit(130)
    shutil.rmtree(folder)
    return {
        "arm": arm, "images": count, "seed": seed, "iterations": args.iterations,
        "seconds": round(time.perf_counter() - began, 1), "metrics": result.report.flat(),
    }  # fmt: skip


def read(path: Path) -> list[dict[str, Any]]:
    """Return the finished runs."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def summary(rows: Iterable[Mapping[str, Any]], metric: str = "AP") -> list[str]:
    """Return lines on what each gain is worth, by number of labeled images, with 95% intervals over the seeds."""
    lines = []
    for count in sorted({row["images"] for row in rows}):
        values = {arm: {row["seed"]: row["metrics"][metric] for row in rows
                  if (row["arm"], row["images"]) == (arm, count)} for arm in ARMS}  # fmt: skip
        seeds = sorted(set.intersection(*(set(of) for of in values.values())))
        plain, taught, trained, both = ([of[seed] for seed in seeds] for of in values.values())
        gains = {
            "pre-training": _less(trained, plain),
            "self-training": _less(taught, plain),
            "self-training after pre-training": _less(both, trained),
            "both": _less(both, plain),
            "both, beyond the sum of the two": _less(_less(both, trained), _less(taught, plain)),
        }
        for name, differences in gains.items() if seeds else ():
            gain = interval(differences)
            lines.append(f"{count:4d} images, {gain.count} seeds, {metric}: {name} {gain.mean:+.1f} ± {gain.half:.1f}")
    return lines


def _less(ours: list[float], theirs: list[float]) -> list[float]:
    return [one - other for one, other in zip(ours, theirs, strict=True)]


def _key(row: Mapping[str, Any]) -> tuple[str, int, int, int]:
    return row["arm"], row["images"], row["seed"], row["iterations"]


if __name__ == "__main__":
    main()
