"""What is known of a framework is in its value: nothing else compares names of frameworks or has a table of them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from adept_hub.spec import FRAMEWORKS

ROOT = Path(__file__).parents[2]
PACKAGES = (ROOT / "adept_hub", ROOT / "training" / "adept_training", ROOT / "benchmarks")
OWN = ("adept_hub/frameworks/", "adept_hub/spec.py")
VALUES = {name.upper() for name in FRAMEWORKS}
#: Where such a word names something else.
ALLOWED = {
    "benchmarks/gpu/measuring.py": "versions of installed packages",
    "adept_hub/foreign/projects.py": "whose weights a file has; torchvision's ResNets are one project of many",
    "adept_hub/detectors/recipe.py": "whose losses a detector is trained with",
    "training/adept_training/finetuning/detector.py": "whose losses a detector is trained with",
}


def _names(node: ast.AST) -> bool:
    """Whether a part of a comparison is a framework's name or value, alone or in a list."""
    if isinstance(node, (ast.Tuple, ast.List, ast.Set)):
        return any(map(_names, node.elts))
    if isinstance(node, ast.Constant):
        return node.value in FRAMEWORKS
    name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
    return name in VALUES or (isinstance(node, ast.Attribute) and _names(node.value))


def branches(code: str) -> Iterator[int]:
    """Lines that tell frameworks apart."""
    for node in ast.walk(ast.parse(code)):
        parts: list[ast.AST] = []
        if isinstance(node, ast.Compare):
            parts = [node.left, *node.comparators]
        elif isinstance(node, ast.Dict):
            parts = [key for key in node.keys if key]
        elif isinstance(node, ast.MatchValue):
            parts = [node.value]
        elif isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id == "Literal":
            parts = [node.slice]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict":
            parts = [ast.Constant(keyword.arg) for keyword in node.keywords]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "startswith":
            parts = list(node.args)
        if any(map(_names, parts)):
            yield node.lineno


def test_nothing_else_tells_frameworks_apart() -> None:
    found, files = {}, 0
    for path in (path for package in PACKAGES for path in sorted(package.rglob("*.py"))):
        name, files = path.relative_to(ROOT).as_posix(), files + 1
        if not name.startswith(OWN) and (lines := sorted(branches(path.read_text()))):
            found[name] = lines
    assert files > 200
    assert found.keys() == ALLOWED.keys(), f"put it into adept_hub.convert.framework.Framework: {found}"


@pytest.mark.parametrize(
    "code",
    [
        "if framework == 'mmdet': pass", "x = 1 if framework != 'torchvision' else 2", "f = 'detectron2' == g",
        "if framework in ('torchvision', 'mmdet'): pass", "FILES = {'mmdet': 1}", "x = {'a': 1, 'detectron2': 2}",
        "x = dict(mmdet=1)", "if known.framework is MMDET: pass", "if name == MMDET.name: pass",
        "if f is not frameworks.TORCHVISION: pass", "match f:\n    case 'mmdet': pass",
        "Form = Literal['torchvision', 'onnx']", "if name.startswith('mmdet'): pass",
    ],
)  # fmt: skip
def test_every_way_to_tell_them_apart_is_found(code: str) -> None:
    assert list(branches(code))


@pytest.mark.parametrize(
    "code", ["f = FRAMEWORKS['mmdet']", "export(x, 'detectron2')", "x = {'mmdetection': 1}", "if f == 'onnx': pass"]
)
def test_a_name_that_is_looked_up_is_no_branch(code: str) -> None:
    assert not list(branches(code))
