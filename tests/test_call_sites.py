"""What every call in the source says of its arguments: none is forgotten, and none stands in another's place.

A call that leaves an optional argument of this project at its default is listed in ``call_sites.txt``; a line that is
missing there is a question: is the default meant? ``python -m tests.test_call_sites`` prints the list.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.test_forwarding import Signature, calls, functions, modules, parameters

LISTED = Path(__file__).with_name("call_sites.txt")
#: (function, what it calls, argument, parameter): a name that the called function uses for something else.
ELSEWHERE = {
    ("checked", "_value", "name", "call"),
    ("wrapper", "_value", "name", "call"),
    ("find_framework", "check_choice", "name", "value"),
    ("require_trackers", "check_choice", "name", "value"),
    ("inherit", "as_restrictive", "license", "other"),  # the start's
    ("check_publishable", "as_restrictive", "license", "other"),
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
#: Parameters that mean the same in several functions and have several defaults.
SEVERAL = {
    "anchors", "args", "boxes", "bundled", "count", "device", "error", "kind", "license", "limit", "longest", "metric",
    "mode", "most", "parts", "remedy", "revision", "settings", "source", "unique", "wait", "where",
}  # fmt: skip


def omissions() -> Iterator[str]:
    """Yield ``function: callee without argument, argument`` for each call that relies on a default."""
    for module, tree in modules().items():
        seen = set()
        for function, call, name, called in calls(module, tree):
            place = (call.lineno, call.col_offset)
            if place in seen:  # of a function inside another
                continue
            seen.add(place)
            given = {*called.positional[: len(call.args)], *(keyword.arg for keyword in call.keywords)}
            if not given:  # all at their defaults, visibly
                continue
            if left := [parameter for parameter in sorted(called.optional - given) if not parameter.startswith("_")]:
                yield f"{function.name}: {name} without {', '.join(left)}"


def counted(lines: Iterator[str]) -> list[str]:
    return [f"{line} ({count})" if count > 1 else line for line, count in sorted(Counter(lines).items())]


def test_a_call_that_leaves_out_an_argument_means_to() -> None:
    listed = [line for line in LISTED.read_text().splitlines() if not line.startswith("#")]
    found = counted(omissions())
    assert len(found) > 100
    assert [line for line in found if line not in listed] == [], "if the default is meant, add these lines"


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


def defaults() -> Iterator[tuple[str, str]]:
    """Yield each optional parameter of each function with the source of its default."""
    for tree in modules().values():
        for function in functions(tree):
            args = function.args
            positional = [*args.posonlyargs, *args.args]
            optional = [*zip(positional[len(positional) - len(args.defaults) :], args.defaults, strict=True)]
            optional += [(a, d) for a, d in zip(args.kwonlyargs, args.kw_defaults, strict=True) if d is not None]
            assert set(parameters(function)) >= {arg.arg for arg, _ in optional}
            yield from ((arg.arg, ast.unparse(default)) for arg, default in optional)


def test_an_option_has_one_default_in_all_layers_and_a_flag_is_off() -> None:
    found: dict[str, set[str]] = {}
    for name, default in defaults():
        found.setdefault(name, set()).add(default)
    assert {name for name, values in found.items() if len(values) > 1} == SEVERAL
    assert {name for name, values in found.items() if "True" in values} == ON


if __name__ == "__main__":
    print("# Calls that leave optional arguments at their defaults on purpose; see test_call_sites.py.")  # noqa: T201
    print(*counted(omissions()), sep="\n")  # noqa: T201
