"""No argument of a call stands in the place of another, and an option has one default in all layers."""

from __future__ import annotations

import ast

from tests.test_forwarding import Signature, calls, functions, modules

#: (function, what it calls, argument, parameter): a name that the called function uses for something else.
ELSEWHERE = {
    ("checked", "_value", "name", "call"),
    ("wrapper", "_value", "name", "call"),
    ("find_framework", "check_choice", "name", "value"),
    ("require_trackers", "check_choice", "name", "value"),
    ("inherit", "as_restrictive", "license", "other"),  # the start's
    ("check_publishable", "as_restrictive", "license", "other"),
    ("_run", "fallback_warning", "images", "source"),
    ("_print_report", "fallback_warning", "images", "source"),
    ("_keep", "save_detector", "config", "origin"),
    ("_join", "_differ", "other", "one"),  # in both directions
    ("_neighbors", "overlapping", "others", "tensors"),
    ("_contrast_terms", "correspondence", "ids_NP", "ids_NQ"),  # the second view's
    ("swapped_prediction", "correspondence", "ids_NP", "ids_NQ"),
    ("export_model", "write_card", "folder", "replaces"),  # an earlier export of the same run
    ("_run", "PretrainResult", "steps", "planned_steps"),
    ("finished_before", "PretrainResult", "steps", "planned_steps"),
}
#: Parameters whose default is True; whatever else is optional and a flag is off unless asked for.
ON = {"mode", "held", "unique", "decode_all", "heads", "verified"}
#: Options of users, which have one default in all layers.
SAME = {
    "half", "overwrite", "relicense", "detector", "fold_norms", "run_config", "cache_dir", "offline", "token", "force",
    "num_classes", "pretrained", "levels", "private", "create_pr", "dry_run", "resume", "skip_damaged", "seeds",
    "budgets", "accelerator", "preset", "strict", "engine", "shard_size", "canonical_size", "limits",
}  # fmt: skip


def test_no_argument_stands_in_the_place_of_another() -> None:
    misplaced, right = set(), 0
    for module, tree in modules().items():
        for function, call, name, called in calls(module, tree):
            pairs = [*zip(call.args, called.positional, strict=False)]
            pairs += [(keyword.value, keyword.arg) for keyword in call.keywords if keyword.arg]
            for value, parameter in pairs:
                word = value.id if isinstance(value, ast.Name) else getattr(value, "attr", None)
                right += word == parameter
                if word != parameter and word in _names(called):
                    misplaced.add((function.name, name, word, parameter))
    assert right > 1000
    assert misplaced <= ELSEWHERE


def _names(called: Signature) -> set[str]:
    return {*called.positional, *called.optional}


def defaults() -> dict[str, set[str]]:
    """Return the sources of the defaults of every optional parameter by its name."""
    found: dict[str, set[str]] = {}
    for tree in modules().values():
        for function in functions(tree):
            args = function.args
            positional = [*args.posonlyargs, *args.args]
            optional = [*zip(positional[len(positional) - len(args.defaults) :], args.defaults, strict=True)]
            optional += [(a, d) for a, d in zip(args.kwonlyargs, args.kw_defaults, strict=True) if d is not None]
            for arg, default in optional:
                found.setdefault(arg.arg, set()).add(ast.unparse(default))
    return found


def test_an_option_has_one_default_in_all_layers_and_a_flag_is_off() -> None:
    found = defaults()
    assert found.keys() >= SAME
    assert {name for name in SAME if len(found[name]) > 1} == set()
    assert {name for name, values in found.items() if "True" in values} <= ON
