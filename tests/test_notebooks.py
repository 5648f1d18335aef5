"""Notebooks are stored without outputs and name only what exists; `make notebooks` runs them."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
from pathlib import Path
from typing import Any

import pytest

import adept_hub
import adept_training
from tests.printed import fault_of

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def cells(path: Path, kind: str) -> list[dict[str, Any]]:
    return [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == kind]


def code(path: Path) -> ast.Module:
    return ast.parse("\n".join("".join(cell["source"]) for cell in cells(path, "code")))


def test_there_are_three() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["first_contact", "inside_the_rpn", "own_domain"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stored_without_outputs(path: Path) -> None:
    stored = json.loads(path.read_text())
    assert stored["nbformat"] == 4
    assert [cell for cell in cells(path, "code") if cell["outputs"] or cell["execution_count"]] == []
    assert set(stored["metadata"]) <= {"kernelspec", "language_info"}
    assert "".join(cells(path, "markdown")[0]["source"]).startswith("# ")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_imports_and_calls_of_a_notebook_exist(path: Path) -> None:
    tree = code(path)
    ours = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and "adept_" in (node.module or "")]
    missing = [
        f"{node.module}.{alias.name}"
        for node in ours
        for alias in node.names
        if not hasattr(importlib.import_module(node.module or ""), alias.name)
    ]
    assert missing == []
    packages = {"adept_hub": adept_hub, "adept_training": adept_training}
    for call in [node for node in ast.walk(tree) if isinstance(node, ast.Call)]:
        package = getattr(getattr(call.func, "value", None), "id", "")
        if package in packages:
            function = getattr(packages[package], call.func.attr)  # type: ignore[attr-defined]
            inspect.signature(function).bind(*call.args, **{word.arg: word.value for word in call.keywords if word.arg})


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_commands_of_a_notebook_are_taken(path: Path) -> None:
    text = "\n".join("".join(cell["source"]) for cell in cells(path, "markdown"))
    commands = re.findall(r"^adept .*$", text.replace("\\\n", " "), re.M)
    assert [fault for command in commands if (fault := fault_of(command))] == []
    trains = [command for command in commands if command.split()[1] in ("compare", "fewshot", "finetune")]
    assert [command for command in trains if "--recipe cpu_small" not in command] == [], "a day on a CPU"
