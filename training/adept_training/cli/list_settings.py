"""``--list-settings`` of the commands that take a recipe."""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from adept_training.runtime.recipe_fields import Setting, settings_of


def add_list_argument(parser: argparse.ArgumentParser, kind: Literal["pretrain", "finetune"]) -> None:
    """Declare ``--list-settings``, which needs no other argument."""
    parser.add_argument("--list-settings", action=_List, nargs=0, const=kind,
                        help="list every SECTION.FIELD with its default and bounds, and exit")  # fmt: skip


class _List(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        sys.stdout.writelines(f"{line}\n" for line in lines(settings_of(recipe_classes()[self.const])))
        parser.exit()


def lines(settings: Sequence[Setting]) -> Iterator[str]:
    """Yield the list for a terminal."""
    for one in settings:
        yield f"{one.path} = {one.default}" + (f"   ({one.allowed})" if one.allowed else "")
        yield from textwrap.wrap(one.text, 100, initial_indent="    ", subsequent_indent="    ")


def recipe_classes() -> dict[str, type[Any]]:
    """Return the class of recipes by the command that they are for."""
    from adept_training.finetuning.recipe import FinetuneRecipe
    from adept_training.pretraining.recipe import Recipe

    return {"pretrain": Recipe, "finetune": FinetuneRecipe}
