"""What every call in the source says of its arguments: none is dropped, and none stands in another's place.

The optional arguments that calls of this project's functions give are listed in ``call_sites.txt``. One that is listed
and no longer given would silently take its default: if that is meant, its line goes too. New calls are listed by
``python -m tests.test_call_sites > tests/call_sites.txt``.
"""

from __future__ import annotations

import ast
from pathlib import Path

from tests.test_forwarding import Signature, calls, functions, modules

LISTED = Path(__file__).with_name("call_sites.txt")
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


def given_arguments() -> dict[tuple[str, str], set[str]]:
    """Return the optional arguments that every call of a function in another function gives."""
    found: dict[tuple[str, str], set[str]] = {}
    for module, tree in modules().items():
        for function, call, name, called in calls(module, tree):
            words = {*called.positional[: len(call.args)], *(keyword.arg for keyword in call.keywords if keyword.arg)}
            key, given = (function.name, name), called.optional & words
            found[key] = found[key] & given if key in found else set(given)
    return found


def as_lines(found: dict[tuple[str, str], set[str]]) -> list[str]:
    return [
        f"{function} {name}: {' '.join(sorted(given))}" for (function, name), given in sorted(found.items()) if given
    ]


def test_no_call_drops_an_optional_argument() -> None:
    found, listed = given_arguments(), [line for line in LISTED.read_text().splitlines() if not line.startswith("#")]
    dropped, kept = [], 0
    for line in listed:
        place, _, words = line.partition(": ")
        function, name = place.split()
        given = found.get((function, name))
        if given is not None:  # else it was renamed or removed
            kept += 1
            dropped += [f"{place} without {word}" for word in words.split() if word not in given]
    assert kept > 200
    assert dropped == [], "if the default is meant, take these out of call_sites.txt"


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


if __name__ == "__main__":
    print("# Optional arguments that every call of a function in another gives; see test_call_sites.py.")  # noqa: T201
    print(*as_lines(given_arguments()), sep="\n")  # noqa: T201
