"""The small rows of Table 4 differ in their two switches and in nothing else, and are as long as asked."""

from __future__ import annotations

from adept_hub.io.schema import to_dict
from adept_training.data.loader import Order
from adept_training.runtime.recipe_files import flatten
from benchmarks.table4 import ROWS, recipe_of


def test_rows_differ_in_two_switches() -> None:
    flat = {row: flatten(to_dict(recipe_of(row, 9677, 160, 8))) for row in ROWS}
    first = flat["det_ss"]
    differing = {key for recipe in flat.values() for key in recipe if recipe[key] != first[key]}
    assert differing == {"method.boxes", "method.rpn.reaches_backbone", "export.tag"}
    switches = {row: (recipe["method.rpn.reaches_backbone"], recipe["method.boxes"]) for row, recipe in flat.items()}
    assert switches == {
        "det_ss": (False, "ss"), "detrpn_ss": (True, "ss"),
        "det_ssrpn": (False, "ss+rpn"), "detrpn_ssrpn": (True, "ss+rpn"),
    }  # fmt: skip


def test_rows_are_as_long_as_asked() -> None:
    recipe = recipe_of("det_ss", 300, 123, 8)
    order = Order(300 - 300 // 20, 8, 0)
    assert round(recipe.schedule.epochs * order.steps_per_epoch) == 123
