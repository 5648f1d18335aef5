"""Implement ``adept finetune``: fine-tune a detector on labels."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from adept_hub.arguments.existing import check_compared, check_source
from adept_hub.spec import DEVICES
from adept_training.images.sources import check_images

if TYPE_CHECKING:
    from adept_training.finetuning.session import FinetuneResult


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments; does not import torch."""
    from adept_training.runtime.first_process import add_wait_argument

    parser.add_argument(
        "source", metavar="SOURCE", help="a name, hf-hub:, LAYOUT:FILE, local-dir:, a folder, a run, or scratch"
    )
    add_data_arguments(parser)
    parser.add_argument("--out", required=True, type=Path, metavar="RUN", help="folder of the run")
    parser.add_argument(
        "--labels",
        metavar="BUDGET|FILE",
        help="train on 10%%, 3img, 5shot, or a subset file's ids (default: all of train)",
    )
    parser.add_argument("--unlabeled", metavar="IMAGES",
                        help="images for self-training by a mean teacher, self_training.* (default: none)")  # fmt: skip
    parser.add_argument(
        "--like",
        metavar="SOURCE",
        help="architecture of scratch, or of parts that the source lacks (default: a stock ResNet-50)",
    )
    parser.add_argument("--resume", action="store_true", help="continue the run in --out exactly where it stopped")
    add_license_arguments(parser)
    add_wait_argument(parser)
    add_recipe_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def add_data_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare ``--data`` and ``--skip-damaged``."""
    parser.add_argument(
        "--data", nargs="+", action="extend", required=True, metavar="DATA",
        help="coco:ANN.json:IMAGE_DIR for train and again for val (and test), voc:DIR[:TRAIN[:VAL[:TEST]]], "
        "yolo:data.yaml, hf-datasets:NAME, or a YAML file",
    )  # fmt: skip
    parser.add_argument("--skip-damaged", action="store_true", help="leave damaged images and objects out")


def add_license_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare ``--license`` and ``--relicense``."""
    parser.add_argument("--license", metavar="L", help="license of the weights (default: that of the source)")
    parser.add_argument("--relicense", action="store_true", help="claim the right to grant a more permissive license")


def add_recipe_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare ``--recipe``, ``--set`` and shorthands for common settings."""
    from adept_training.cli.list_settings import add_list_argument
    from adept_training.runtime.recipe_files import recipe_folder, shipped

    bundled = ", ".join(shipped(recipe_folder() / "downstream"))
    parser.add_argument(
        "--recipe",
        metavar="FILE|NAME",
        help=f"a YAML file, or a bundled recipe: {bundled} (default: one scaled to your images)",
    )
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="SECTION.FIELD=VALUE",
                        help="change one value of the recipe; repeatable; --list-settings lists them "
                        "(default: none)")  # fmt: skip
    add_list_argument(parser, "finetune")
    parser.add_argument(
        "--detector",
        choices=("faster_rcnn", "mask_rcnn", "cascade_rcnn"),
        help="as detector.detector (default: the recipe's)",
    )
    parser.add_argument("--iterations", type=int, help="as schedule.iterations (default: the recipe's)")
    parser.add_argument(
        "--batch-size",
        type=int,
        help="images per step (engine.batch_size); scales the learning rate (default: the recipe's)",
    )
    parser.add_argument(
        "--freeze", choices=("none", "stem", "backbone"), help="as optimizer.freeze (default: the recipe's)"
    )
    parser.add_argument(
        "--lr", type=float, help="learning rate at a batch size of 16 (optimizer.lr; default: the recipe's)"
    )
    parser.add_argument(
        "--size", type=int, metavar="PIXELS", help="shorter image side, in training and testing (default: the recipe's)"
    )
    parser.add_argument("--augment", choices=("none", "flip_scale", "strong"),
                        help="augmentation of training images (engine.augment; default: the recipe's)")  # fmt: skip
    parser.add_argument("--bf16", action="store_true", help="as engine.precision=bf16")
    parser.add_argument("--device", default="auto", choices=DEVICES, help="where to run (default: %(default)s)")


def settings_of(args: argparse.Namespace) -> list[str]:
    """Return the values of ``--set`` and of the shorthands, which take precedence."""
    short = {
        "detector.detector": args.detector, "schedule.iterations": args.iterations,
        "engine.batch_size": args.batch_size, "optimizer.lr": args.lr,
        "optimizer.freeze": args.freeze,
        "engine.augment": args.augment,
    }  # fmt: skip
    settings = [*args.settings, *(f"{name}={value}" for name, value in short.items() if value is not None)]
    settings += side_settings(args.size)
    return [*settings, *(["engine.precision=bf16"] if args.bf16 else [])]


def side_settings(size: int | None) -> list[str]:
    """Return the settings of ``--size``: one shorter side in training and testing, the longer in COCO's proportion."""
    if size is None:
        return []
    longest = max(round(size * 1333 / 800), size)
    return [f"detector.train_sides=[{size}]", f"detector.test_side={size}", f"detector.max_side={longest}"]


def run(args: argparse.Namespace) -> int:
    """Fine-tune; return 0 when done, 130 when interrupted with the state saved.

    Raises:
        AdeptError: the arguments, the data or the run folder are invalid.
    """
    check_compared([args.source])
    check_source(args.like)
    check_images(args.unlabeled)
    from adept_training.calls.finetuning import finetune

    outcome = finetune(
        args.source, args.data, args.out, recipe=args.recipe, labels=args.labels, unlabeled=args.unlabeled,
        like=args.like, resume=args.resume, wait=args.wait, skip_damaged=args.skip_damaged, device=args.device,
        license=args.license or "unstated", relicense=args.relicense, settings=settings_of(args), stream=sys.stderr,
    )  # fmt: skip
    if outcome.interrupted:
        sys.stdout.write("Saved. Continue with the same command and --resume.\n")
        return 130
    if outcome.report is None:
        return 0  # the first process reports
    if args.json:
        content = {
            "run": str(outcome.folder), "detector": str(outcome.folder / outcome.chosen),
            "iterations": outcome.iterations, "chosen": outcome.chosen, "best_iteration": outcome.best_iteration,
            "validation_ap": outcome.best_ap, "split": outcome.report_split, **outcome.report.as_json(),
            **({"caution": outcome.caution} if outcome.caution else {}),
        }  # fmt: skip
        sys.stdout.write(json.dumps(content, indent=2) + "\n")
        return 0
    _tell(args, outcome)
    return 0


def _tell(args: argparse.Namespace, outcome: FinetuneResult) -> None:
    from adept_hub.checkpoint.folder import read_config
    from adept_hub.words.command_line import command_line
    from adept_training.finetuning.recipe import load_finetune_recipe
    from adept_training.runtime.journal import tinted

    detector = outcome.folder / outcome.chosen
    evaluate = command_line("evaluate", args.out, "--data", *args.data, "--report", args.out / "report")
    recipe = load_finetune_recipe(outcome.folder / "recipe.yaml")
    rounded = read_config(detector).spec.anchors.generator == "rounded"
    form = "torchvision" if recipe.detector.classifier == "cosine" or rounded else "detectron2"
    deploy = command_line("deploy", args.out, "--to", form, "--out", args.out / form)
    if outcome.caution:
        sys.stdout.write(tinted(outcome.caution, "caution", sys.stdout) + "\n")
    sys.stdout.write(f"Detector: {detector} (iteration {outcome.best_iteration})\nNext:\n")
    sys.stdout.write(f"  {evaluate}\n  {deploy}\n")
