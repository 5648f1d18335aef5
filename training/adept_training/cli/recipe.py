"""``adept recipe``: bundled recipes, and one of them in full with the meaning of each field."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("name", nargs="?", metavar="NAME", help="the recipe to print (default: list them all)")
    parser.add_argument("--list", action="store_true", help="list the bundled recipes, one per line")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(usage_error=parser.error)


def run(args: argparse.Namespace) -> int:
    """Print one recipe, every field resolved, or the list.

    Raises:
        RecipeError: no bundled recipe has that name.
    """
    from adept_hub.cli.output import print_json, print_table

    if args.name and args.list:
        args.usage_error("NAME and --list exclude each other")
    if args.name:
        return _print(args.name, args.json)
    rows = [(path.stem, kind, _summary(path)) for kind, paths in _shipped().items() for path in paths]
    if args.json:
        print_json([dict(zip(("name", "command", "summary"), row, strict=True)) for row in rows])
    else:
        print_table(("name", "for", "summary"), rows)
    return 0


def _print(name: str, as_json: bool) -> int:
    from adept_hub.errors import RecipeError
    from adept_hub.io.schema import to_dict
    from adept_hub.words.spelling import did_you_mean
    from adept_training.finetuning.recipe import load_finetune_recipe
    from adept_training.pretraining.recipe import load_recipe
    from adept_training.runtime.recipe_fields import annotated_yaml

    found = {path.stem: (kind, path) for kind, paths in _shipped().items() for path in paths}
    if name not in found:
        hint = did_you_mean(name, found)
        raise RecipeError(f"There is no bundled recipe {name!r}.{hint}\nEvery recipe: adept recipe --list")
    kind, path = found[name]
    recipe = load_recipe(path) if kind == "pretrain" else load_finetune_recipe(path)
    if as_json:
        sys.stdout.write(
            json.dumps({"name": name, "command": kind, "recipe": to_dict(recipe, complete=True)}, indent=2) + "\n"
        )
    else:
        sys.stdout.write(f"# {name}, for adept {kind}: {_summary(path)}\n{annotated_yaml(recipe)}")
    return 0


def _shipped() -> dict[str, list[Path]]:
    """Return the files of the bundled recipes by command."""
    from adept_training.runtime.recipe_files import recipe_folder

    folder = recipe_folder()
    return {
        "pretrain": sorted(folder.glob("*.yaml")),
        "finetune": sorted((folder / "downstream").glob("*.yaml")),
    }


def _summary(path: Path) -> str:
    """Return the first sentence of a recipe's leading comment."""
    from adept_hub.errors import RecipeError
    from adept_hub.io.read import BoundedReader

    comment = []
    for line in BoundedReader(RecipeError).text(path).splitlines():
        if not line.startswith("#"):
            break
        comment.append(line.lstrip("# "))
    return " ".join(comment).partition(". ")[0].rstrip(".")
