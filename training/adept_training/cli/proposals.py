"""Implement ``adept proposals``: its imports are lazy, so that ``--help`` stays quick."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from adept_hub.cli.output import print_line
from adept_hub.spec import DEVICES
from adept_hub.words.pulse import doing
from adept_training.proposals.engines import SHARD_SIZE
from adept_training.proposals.search.presets import DEFAULT_PRESET, PRESETS, get_preset
from adept_training.runtime.first_process import add_wait_argument

if TYPE_CHECKING:
    from adept_training.proposals.run import ProposalProgress, RunReport

DESCRIPTION = """\
Find selective-search boxes in every image and write the Parquet table that pre-training reads.

  adept proposals photos --out boxes                      find boxes (run it again to resume)
  adept proposals photos --out boxes --preset objects     the best 200 boxes on objects of any size
  adept proposals show boxes --images photos --out look   draw the boxes
  adept proposals evaluate boxes --data coco:val.json:photos
                                                          recall of labeled objects, next to a blind grid's
  adept proposals tune photos --data coco:few.json:photos
                                                          compare presets on a handful of labeled images
  adept proposals refine boxes --images photos --model runs/mine --out boxes-2
                                                          mix in the best regions of a pre-trained RPN
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``adept proposals``."""
    parser.description = DESCRIPTION
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.set_defaults(usage_error=parser.error)
    parser.add_argument(
        "images",
        metavar="IMAGES",
        help="a folder (searched recursively), a text file of paths, WebDataset .tar shards or hf-datasets:NAME:SPLIT",
    )
    parser.add_argument(
        "table",
        metavar="TABLE",
        nargs="?",
        help="after 'show', 'evaluate' or 'refine': the table; after 'tune': IMAGES (default: none)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="folder of the table, or of pictures (default with 'evaluate' and 'tune': print only)",
    )
    parser.add_argument("--preset", choices=PRESETS, default=DEFAULT_PRESET, help="default: %(default)s")
    parser.add_argument("--workers", type=int, metavar="N", help="processes (default: one per core)")
    parser.add_argument(
        "--min-scale", type=float, metavar="F", help="smallest sqrt(w h)/sqrt(W H) of a box (default: the preset's)"
    )
    parser.add_argument(
        "--boxes", type=int, metavar="N", help="with --preset objects: the best N boxes per image (default: 200)"
    )
    parser.add_argument(
        "--sizes",
        type=_sizes,
        metavar="8%..40%",
        help="with --preset objects: sqrt(w h) of the objects, in percent of the image's shorter side (default: any)",
    )
    parser.add_argument("--unique", action="store_true", help="drop all but the first of identical boxes")
    parser.add_argument("--engine", choices=("local", "ray"), default="local", help="default: %(default)s")
    parser.add_argument(
        "--shard-size",
        type=int,
        default=SHARD_SIZE,
        metavar="N",
        help="images per shard, the unit of resuming (default: %(default)s)",
    )
    parser.add_argument("--strict", action="store_true", help="stop at the first unreadable image")
    parser.add_argument(
        "--images", dest="photographs", metavar="IMAGES", help="with 'show' and 'refine': the images (default: none)"
    )
    parser.add_argument(
        "--model", metavar="SOURCE", help="with 'refine': pre-trained weights with an RPN, or a run (default: none)"
    )
    parser.add_argument("--device", choices=DEVICES, default="auto", help="with 'refine' (default: %(default)s)")
    parser.add_argument(
        "--samples", type=int, default=12, metavar="N", help="with 'show': number of pictures (default: 12)"
    )
    parser.add_argument(
        "--data",
        nargs="+",
        action="extend",
        metavar="DATA",
        help="with 'evaluate' and 'tune': labeled images, as for finetune (default: none)",
    )
    parser.add_argument("--skip-damaged", action="store_true", help="with --data: leave damaged images out")
    parser.add_argument(
        "--split",
        choices=("train", "val", "test"),
        help="with --data: split to use (default: 'evaluate': val, else train; 'tune': train)",
    )
    add_wait_argument(parser)
    parser.add_argument("--quiet", action="store_true", help="print no progress")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")


def run(args: argparse.Namespace) -> int:
    """Make, show or evaluate proposals; return 0, or 130 when interrupted. Errors are raised as AdeptError."""
    _check_usage(args)
    if args.images == "evaluate":
        from adept_training.cli.recall.evaluate import evaluate_table

        return evaluate_table(args)
    if args.images == "tune":
        from adept_training.cli.recall.tune import tune_proposals

        return tune_proposals(args)
    return {"show": _show, "refine": _refine}.get(args.images, _make)(args)


#: Arguments that each verb needs, and those that it alone takes; without a verb: boxes are computed.
_NEEDS = {
    "show": ("TABLE", "--images", "--out"),
    "evaluate": ("TABLE", "--data"),
    "tune": ("IMAGES", "--data"),
    "refine": ("TABLE", "--images", "--model", "--out"),
    "": ("--out",),
}
_TAKES = {
    "TABLE": ("show", "evaluate", "tune", "refine"),
    "--images": ("show", "refine"),
    "--model": ("refine",),
    "--data": ("evaluate", "tune"),
    "--split": ("evaluate", "tune"),
}


def _check_usage(args: argparse.Namespace) -> None:
    """Exit with what a verb lacks, or what belongs to others."""
    verb = args.images if args.images in _NEEDS else ""
    values = {
        "TABLE": args.table, "IMAGES": args.table, "--images": args.photographs, "--model": args.model,
        "--data": args.data, "--split": args.split, "--out": args.out,
    }  # fmt: skip
    prefix, folder = (f"{verb}: ", f" (a folder named {verb}: ./{verb})") if verb else ("", "")
    for name, verbs in _TAKES.items():
        if values[name] is not None and verb not in verbs:
            args.usage_error(f"{prefix}{name} belongs to {', '.join(map(repr, verbs))} alone")
    if missing := [name for name in _NEEDS[verb] if values[name] is None]:
        args.usage_error(f"{prefix}the following arguments are required: {', '.join(missing)}{folder}")
    if args.boxes is not None and args.boxes < 1:
        args.usage_error("--boxes takes a number of at least 1")


def _show(args: argparse.Namespace) -> int:
    from adept_training.images.sources import check_images

    check_images(args.photographs)  # before the libraries, which take seconds
    from adept_training.proposals.show import show

    shown = show(args.table, args.photographs, args.out, samples=args.samples)
    levels = {level.name: round(level.positives, 4) for level in shown.statistics.levels}
    if args.json:
        boxes = round(float(shown.statistics.counts.mean()), 2)
        pictures = [str(path) for path in shown.pictures]
        print_line(
            json.dumps({"report": str(shown.report), "pictures": pictures, "boxes": boxes, "rpn_positives": levels})
        )
        return 0
    print_line(f"{shown.report} and {len(shown.pictures)} pictures next to it")
    print_line("RPN positives per image: " + ", ".join(f"{name} {value:.3f}" for name, value in levels.items()))
    return 0


def _make(args: argparse.Namespace) -> int:
    from adept_training.images.sources import check_images

    preset = get_preset(args.preset)
    if preset.objects is not None:
        settings = replace(preset.objects, most=args.boxes or preset.objects.most)
        preset = replace(preset, objects=replace(settings, sizes=args.sizes or settings.sizes))
    elif args.boxes is not None or args.sizes is not None:
        args.usage_error(f"--boxes and --sizes belong to --preset objects, not {preset.name}")
    if args.min_scale is not None:
        preset = replace(preset, filter=replace(preset.filter, min_scale=args.min_scale))
    if args.unique:
        preset = replace(preset, keep_duplicates=False)
    check_images(args.images)  # before the libraries, which take seconds
    from adept_training.proposals.run import run_proposals

    return _report(
        args, args.images, preset.name,
        lambda progress: run_proposals(
            args.images, args.out, preset, workers=args.workers, engine=args.engine, strict=args.strict,
            shard_size=args.shard_size, progress=progress, wait=args.wait,
        ),
    )  # fmt: skip


def _refine(args: argparse.Namespace) -> int:
    from adept_training.images.sources import check_images

    check_images(args.photographs)
    from adept_training.proposals.refine import refine_proposals
    from adept_training.runtime.cpus import use_threads

    use_threads(0)
    return _report(
        args, args.photographs, "objects",
        lambda progress: refine_proposals(
            args.table, args.photographs, args.model, args.out, boxes=args.boxes, device=args.device,
            strict=args.strict, shard_size=args.shard_size, progress=progress, wait=args.wait,
        ),
    )  # fmt: skip


def _report(
    args: argparse.Namespace, images: str, preset: str, run: Callable[[_ProgressLine | None], RunReport]
) -> int:
    """Run with a progress line and print the report; return 0, or 130 when interrupted."""
    from adept_training.runtime.progress import without_bars

    progress = None if args.quiet else _ProgressLine(sys.stderr)
    try:
        with without_bars() if progress is None else doing(lambda: progress.text):
            report = run(progress)
    except KeyboardInterrupt:
        print_line(
            f"\nInterrupted. Finished shards are kept in {args.out}; run the same command to resume.", sys.stderr
        )
        return 130
    finally:
        if progress is not None:
            progress.end()
    if args.json:
        print_line(json.dumps({k: str(v) if isinstance(v, Path) else v for k, v in asdict(report).items()}))
        return 0
    _print_report(report, args, images, preset)
    return 0


def _print_report(report: RunReport, args: argparse.Namespace, images: str, preset: str) -> None:
    from adept_training.proposals.fallbacks import fallback_warning

    print_line(
        f"{report.images} images, {report.boxes} boxes ({report.boxes / report.images:.1f} per image, "
        f"{report.fallbacks} images by fallback) in {report.out}: {report.shards} shards, "
        f"{report.resumed_shards} of them from before, {report.seconds:.1f} s"
    )
    where = f": see {report.unreadable_report}" if report.unreadable_report else ""
    print_line(f"{report.unreadable} unreadable images{where}")
    if warning := fallback_warning(report.images, report.fallbacks, preset, images, args.out):
        print_line(f"caution: {warning}", sys.stderr)


def _sizes(text: str) -> tuple[float, float]:
    """Parse 8%..40% into (0.08, 0.4)."""
    low, dots, high = text.replace("%", "").partition("..")
    try:
        bounds = (float(low) / 100, float(high) / 100)
    except ValueError:
        dots = ""
    if not dots or not 0 <= bounds[0] < bounds[1] <= 10:
        raise argparse.ArgumentTypeError(f"{text!r} is not a range of sizes such as 8%..40%")
    return bounds


class _ProgressLine:
    """A progress line, rewritten on a terminal; elsewhere a line per tenth of the run."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._live, self._tenth, self._open = stream, stream.isatty(), 0, False
        self.text = "boxes: reading the list of images"

    def __call__(self, progress: ProposalProgress) -> None:
        speed = f", {progress.rate:.1f}/s, {_clock(progress.eta)} left, {progress.unreadable} unreadable"
        self.text = text = f"boxes: {progress.done}/{progress.total} images{speed if progress.rate else ''}"
        if self._live:
            self._stream.write(f"\r{text:<79}")
            self._open = True
        elif 10 * progress.done // progress.total > self._tenth:
            self._tenth = 10 * progress.done // progress.total
            self._stream.write(text + "\n")
        self._stream.flush()

    def end(self) -> None:
        if self._open:
            self._stream.write("\n")


def _clock(seconds: float) -> str:
    minutes, second = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{second:02d}"
