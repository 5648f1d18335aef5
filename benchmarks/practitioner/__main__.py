"""A fine-tuning step, an evaluation and a prediction next to torchvision's references and Detectron2's tools.

    python -m benchmarks.practitioner --data voc:DIR                   # R18 at 192 px: minutes on one core
    python -m benchmarks.practitioner --data voc:DIR --source SOURCE --set detector.test_side=480 ...

A detector is fine-tuned for a few iterations; then every program gets the same weights, images, threads and numbers of
RoIs, proposals and detections, without loader processes unless ``engine.workers`` is set:

    training    every image once in batches: the loop of `adept finetune`, `train_one_epoch`, `DefaultTrainer`
    evaluation  `adept evaluate`'s metrics (AP, VOC, TIDE, recall of the RPN), `evaluate`, `inference_on_dataset`
    prediction  from files: `load_detector(RUN).predict`, `model(images)`, `DefaultPredictor`

The programs take turns in one process. A ratio is a program's time divided by ours in the same round: its median, and
its range; above 1 ours is faster. torchvision's model is built of its stock classes: its anchors, RoIAlign of four
samples per bin and resizing without antialiasing differ from those that the weights were trained with, so its AP does.
"""

from __future__ import annotations

import argparse
import importlib.util
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from adept_hub.cli.output import print_table
from benchmarks.practitioner.detectron2_tools import Detectron2
from benchmarks.practitioner.material import make_material
from benchmarks.practitioner.ours import Ours
from benchmarks.practitioner.references import References
from benchmarks.practitioner.turns import rows, take_turns

TASKS = {"train": "loss", "evaluate": "AP", "predict": "boxes"}
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


def main() -> None:
    """Measure and print the table."""
    args = arguments()
    torch.set_num_threads(args.threads)
    table: list[list[str]] = []
    with tempfile.TemporaryDirectory() as name:
        material = make_material(
            args.data, Path(name) / "material", source=args.source, counts=(args.images, args.test_images),
            settings=[*args.settings, f"engine.threads={args.threads}"], iterations=args.iterations,
        )  # fmt: skip
        programs: list[Any] = [Ours(material), References(material)]
        if importlib.util.find_spec("detectron2") is not None:
            programs.append(Detectron2(material))
        for task in args.tasks:
            works = {program.name: getattr(program, task) for program in programs}
            images = len(material.files("train" if task == "train" else "test"))
            table += rows(task, take_turns(works, args.rounds, CLOCKS[args.clock]), images, TASKS[task])
    print(f"{args.images} training and {args.test_images} test images, {args.threads} threads, {args.rounds} rounds\n")
    print_table(["task", "program", "ms per image", "time / ours", "", "result"], table, frozenset({2}))


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", required=True, help="labels, as for adept finetune")
    parser.add_argument("--source", default="adept_joint", help="where fine-tuning starts")
    parser.add_argument("--set", dest="settings", action="append", default=[], help="of the recipe cpu_small")
    parser.add_argument("--images", type=int, default=8, help="training images")
    parser.add_argument("--test-images", type=int, default=16)
    parser.add_argument("--iterations", type=int, default=30, help="of fine-tuning before anything is measured")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--clock", choices=CLOCKS, default="wall", help="cpu: on a machine that others use, too")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    return parser.parse_args()


if __name__ == "__main__":
    main()
