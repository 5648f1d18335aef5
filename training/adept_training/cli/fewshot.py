"""Implement ``adept fewshot``: compare sources on K labeled objects per class, over several seeds."""

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

    parser.add_argument("sources", nargs="+", metavar="SOURCE", help="as for adept compare")
    add_data_arguments(parser)
    parser.add_argument("--out", type=Path, default=Path("fewshot"), metavar="DIR", help="default: fewshot")
    parser.add_argument(
        "--shots", default="1,2,3,5,10", metavar="LIST", help="objects per class (default: %(default)s)"
    )
    parser.add_argument(
        "--seeds",
        type=int,
        default=10,
        help="draws of the objects (default: %(default)s; below 3 there are no intervals and no verdict)",
    )
    parser.add_argument("--classes", default="all", metavar="all|voc-1|voc-2|voc-3|LIST",
                        help="the novel classes: TFA's splits of VOC, or names (default: %(default)s)")  # fmt: skip
    parser.add_argument("--layers", default="all", metavar="all|last|all,last",
                        help="layers to tune, for every source (default: %(default)s)")  # fmt: skip
    parser.add_argument("--metric", default="AP50", help="metric of the verdict (default: %(default)s)")
    add_wait_argument(parser)
    add_recipe_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print the tables as JSON")


def run(args: argparse.Namespace) -> int:
    """Run the comparison and print its tables.

    Raises:
        AdeptError: the arguments or the data are invalid.
    """
    check_compared(args.sources)
    from adept_hub.cli.output import print_json, print_table
    from adept_hub.errors import DataError, RecipeError
    from adept_training.cli.finetune import settings_of
    from adept_training.comparing.compare import HTML, make_plan, name_sources
    from adept_training.comparing.fewshot import LAYERS, VOC_NOVEL, fewshot, layer_variants, restrict
    from adept_training.comparing.runs import check_seeds
    from adept_training.finetuning.recipe import load_finetune_recipe
    from adept_training.labels.datasets import open_data
    from adept_training.metrics.names import check_metric

    check_seeds(args.seeds)
    layers = args.layers.split(",")
    if unknown := [word for word in layers if word not in LAYERS]:
        raise RecipeError(f"--layers takes all, last, or both, not {unknown[0]!r}.")
    if not all(word.strip().isdecimal() and int(word) > 0 for word in args.shots.split(",")):
        raise DataError(f"--shots takes numbers such as 1,2,3,5,10, not {args.shots!r}.")
    recipe = load_finetune_recipe(args.recipe, settings_of(args))
    sources = name_sources(args.sources)
    check_metric(args.metric, recipe.detector.detector)
    make_plan(sources, [f"{shots}shot" for shots in args.shots.split(",")], args.seeds, layer_variants(recipe, layers))
    data = open_data(args.data, skip_damaged=args.skip_damaged)  # opened last, because its check reads every image
    if args.classes != "all":
        data = restrict(data, VOC_NOVEL.get(args.classes) or args.classes.split(","))
    result = fewshot(
        sources, data, args.out, [int(k) for k in args.shots.split(",")], args.seeds, recipe, layers,
        metric=args.metric, command=shlex.join(["adept", *sys.argv[1:]]), accelerator=args.device,
        wait=args.wait,
    )  # fmt: skip
    if args.json:
        print_json(result.as_json())
        return 0
    for comparison in result.comparisons:
        if comparison.metric == args.metric:
            sys.stdout.write(f"{comparison.metric}, {comparison.variant} tuned, {args.seeds} seeds\n")
            print_table(comparison.head(), comparison.rows(), frozenset(range(1, len(comparison.budgets) + 1)))
            sys.stdout.write("\n".join(["", *comparison.verdicts(), ""]))
    sys.stdout.write(
        "\n".join([*result.summaries, *filter(None, (result.caution,)), *result.advice])
        + f"\nPage: {args.out / HTML}\n"
    )
    return 0
