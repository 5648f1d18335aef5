"""No layer drops a keyword on its way down: checked in the source, for every call and every parameter.

A function that has a parameter forwards it to the functions it calls that have an optional parameter of the same name;
and every parameter is used in its function's body.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]

#: (function, what it calls, parameter) with the same name but another meaning.
UNRELATED = {
    ("load_fetched", "Target", "detector"),  # made for its anchors alone, or compared with the default
    ("load_fetched", "Target", "num_classes"),
    ("create_model", "Target", "detector"),
    ("create_model", "Target", "num_classes"),
    ("load_state_dict", "Target", "detector"),
    ("_check_detector", "Target", "num_classes"),
    ("open_pretrain_start", "PretrainStart", "license"),  # a run from scratch inherits no license
    ("compare", "run_plan", "wait"),  # the lock on the folder is held already; so in the next two
    ("finetune", "finetune_data", "wait"),
    ("pretrain", "run_proposals", "wait"),
}
#: Signatures fixed by another library, and parameters that a decorator consumes.
UNUSED = {
    ("_isfile", "path"), ("_exists", "path"), ("grid_anchors", "strides"), ("forward", "image_shapes"),
    ("close", "state"), ("__torch_function__", "types"), ("read_config", "run_config"),
    ("compare", "wait"), ("finetune", "wait"), ("run_plan", "wait"), ("pretrain", "wait"),
    ("other_losses", "logits_RC"), ("other_losses", "deltas_RD"),
}  # fmt: skip


class Signature(NamedTuple):
    """Positional parameters in order, and the optional ones."""

    positional: tuple[str, ...]
    optional: frozenset[str]


@cache
def modules() -> dict[str, ast.Module]:
    """Parse the library and the trainer: a tree for each dotted name."""
    found = {}
    for package, base in (("adept_hub", ROOT), ("adept_training", ROOT / "training")):
        for path in sorted((base / package).rglob("*.py")):
            name = ".".join(path.relative_to(base).with_suffix("").parts).removesuffix(".__init__")
            found[name] = ast.parse(path.read_text(encoding="utf-8"))
    return found


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def parameters(function: ast.FunctionDef) -> list[str]:
    args = function.args
    return [arg.arg for arg in (*args.posonlyargs, *args.args, *args.kwonlyargs, args.vararg, args.kwarg) if arg]


def signature(function: ast.FunctionDef) -> Signature:
    args = function.args
    positional = [arg.arg for arg in (*args.posonlyargs, *args.args)]
    optional = positional[len(positional) - len(args.defaults) :]
    optional += [a.arg for a, default in zip(args.kwonlyargs, args.kw_defaults, strict=True) if default is not None]
    return Signature(tuple(positional), frozenset(optional))


def constructor(cls: ast.ClassDef) -> Signature | None:
    if any("dataclass" in ast.unparse(decorator) for decorator in cls.decorator_list):
        made = [node for node in cls.body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)]
        optional = frozenset(ast.unparse(node.target) for node in made if node.value is not None)
        return Signature(tuple(ast.unparse(node.target) for node in made), optional)
    for node in cls.body:
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            found = signature(node)
            return found._replace(positional=found.positional[1:])
    return None


@cache
def signatures() -> dict[tuple[str, str], Signature]:
    """Return the signature of every module-level function and class by (module, name)."""
    found = {}
    for module, tree in modules().items():
        for node in tree.body:
            if isinstance(node, ast.FunctionDef):
                found[module, node.name] = signature(node)
            elif isinstance(node, ast.ClassDef) and (made := constructor(node)):
                found[module, node.name] = made
    return found


def calls(module: str, tree: ast.Module) -> Iterator[tuple[ast.FunctionDef, ast.Call, str, Signature]]:
    """Yield calls of this project's functions without * or **, each with the function around it."""
    named = {name: (of, name) for of, name in signatures() if of == module}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            named |= {alias.asname or alias.name: (node.module, alias.name) for alias in node.names}
    for function in functions(tree):
        for body in function.body:
            for node in ast.walk(body):
                if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
                    continue
                called = signatures().get(named.get(node.func.id, ("", "")))
                spread = any(isinstance(arg, ast.Starred) for arg in node.args)
                if called and not spread and all(keyword.arg for keyword in node.keywords):
                    yield function, node, node.func.id, called


def test_parameters_are_forwarded_to_calls_that_take_them() -> None:
    dropped, forwarded = set(), 0
    for module, tree in modules().items():
        for function, call, name, called in calls(module, tree):
            given = {*called.positional[: len(call.args)], *(keyword.arg for keyword in call.keywords)}
            both = called.optional & set(parameters(function))
            forwarded += len(both & given)
            dropped |= {(function.name, name, parameter) for parameter in both - given}
    assert forwarded > 100
    assert dropped == UNRELATED


def test_every_parameter_is_used() -> None:
    unused, used = set(), 0
    for tree in modules().values():
        for function in functions(tree):
            body = [node for node in function.body if not isinstance(node, ast.Expr | ast.Pass | ast.Raise)]
            if not body and not any(isinstance(node, ast.Expr) and isinstance(node.value, ast.Call | ast.Yield)
                                    for node in function.body):  # fmt: skip
                continue  # a protocol's
            names = {node.id for part in function.body for node in ast.walk(part) if isinstance(node, ast.Name)}
            own = [name for name in parameters(function) if name not in ("self", "cls") and not name.startswith("_")]
            unused |= {(function.name, name) for name in own if name not in names}
            used += sum(name in names for name in own)
    assert used > 1000
    assert unused == UNUSED
