"""Implement ``adept compare``: compare sources over label budgets."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from adept_hub.arguments.existing import check_compared


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments; does not import torch."""
    from adept_training.cli.finetune import add_data_arguments, add_recipe_arguments
    from adept_training.runtime.first_process import add_wait_argument

    parser.add_argument(
        "sources", nargs="+", metavar="SOURCE",
        help="scratch, a name, a folder, ..., or NAME=SOURCE; the first is the baseline",
    )  # fmt: skip
    add_data_arguments(parser)
    parser.add_argument(
        "--out", required=True, type=Path, metavar="DIR", help="folder of the runs, table, plot and page; resumable"
    )
    parser.add_argument(
        "--fractions",
        default="",
        metavar="LIST",
        help="shares of the training images (default: 1%%,10%%,100%% if no budget is given)",
    )
    parser.add_argument(
        "--image-counts", default="", metavar="LIST", help="numbers of training images, such as 1,3,10 (default: none)"
    )
    parser.add_argument("--shots", default="", metavar="LIST", help="objects per class, such as 1,5,10 (default: none)")
    parser.add_argument(
        "--seeds",
        type=int,
        default=5,
        help="runs per source and budget (default: %(default)s; below 3 there are no intervals and no verdict)",
    )
    parser.add_argument("--metric", default="AP", help="metric of the verdict (default: %(default)s)")
    add_wait_argument(parser)
    add_recipe_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print the table as JSON")


def budgets_of(fractions: str, images: str, shots: str) -> list[str]:
    """Parse the three lists of budgets; return 1%, 10% and 100% if all are empty.

    Raises:
        DataError: a word is not a valid budget.
    """
    from adept_training.labels.subsets import parse_budget

    words = [w if w.strip().endswith("%") or float_like(w) else f"{w}%" for w in _split(fractions)]
    words = [f"{w}shot" for w in _split(shots)] + [f"{w}img" for w in _split(images)] + words
    return [str(parse_budget(word)) for word in words or ("1%", "10%", "100%")]


def float_like(word: str) -> bool:
    """Check for a fraction such as 0.1, which needs no percent sign."""
    return "." in word and not word.strip().endswith("%")


def _split(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def run(args: argparse.Namespace) -> int:
    """Run the comparison and print its tables.

    Raises:
        AdeptError: the arguments or the data are invalid.
    """
    check_compared(args.sources)
    from adept_hub.cli.output import print_json, print_table
    from adept_hub.errors import DataError
    from adept_hub.io.read import MAX_LOG, BoundedReader
    from adept_training.calls.comparing import compare
    from adept_training.cli.finetune import settings_of
    from adept_training.comparing.compare import HTML
    from adept_training.comparing.runs import check_seeds

    check_seeds(args.seeds)
    words = args.sources if len(args.sources) > 1 or "scratch" in args.sources else ["scratch", *args.sources]
    result = compare(
        words, args.data, args.out, budgets=budgets_of(args.fractions, args.image_counts, args.shots),
        seeds=args.seeds, metric=args.metric, recipe=args.recipe, wait=args.wait, skip_damaged=args.skip_damaged,
        device=args.device, settings=settings_of(args), command=shlex.join(["adept", *sys.argv[1:]]),
    )  # fmt: skip
    if args.json:
        print_json(BoundedReader(DataError, MAX_LOG, surrogates=True).json(args.out / "compare.json"))
        return 0
    main = result.comparisons[0]
    print_table(main.head(), main.rows(), frozenset(range(1, len(main.budgets) + 1)))
    sys.stdout.write(
        "\n"
        + "\n".join([*main.verdicts(), *result.summaries, *filter(None, (result.caution,)), *result.advice])
        + f"\nPage: {args.out / HTML}\n"
    )
    return 0
