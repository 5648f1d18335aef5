"""Choose the mutants of a run, and the test files of each."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import NamedTuple

from tests.mutants.changes import Mutation, mutations


class Mutant(NamedTuple):
    """A module, relative to the root of the tree, and a change of it."""

    path: Path
    change: Mutation

    def diff(self, source: str) -> str:
        """Return the changed lines, before and after."""
        lines = difflib.unified_diff(source.splitlines(), self.change.apply(source).splitlines(), lineterm="", n=0)
        return "\n".join(f"    {line}" for line in list(lines)[2:] if not line.startswith("@@"))


def mutants(root: Path, targets: Iterable[str]) -> list[Mutant]:
    """Return the mutants of folders, files and single lines (`FILE:LINE`), relative to `root`."""
    found = []
    for target in targets:
        name, _, line = target.partition(":")
        under = root / name
        if not under.exists():
            raise SystemExit(f"There is no {name} below {root}: pass a folder, a file or FILE:LINE of the checkout.")
        for path in sorted(under.rglob("*.py")) if under.is_dir() else [under]:
            changes = mutations(path.read_text(encoding="utf-8"))
            found += [Mutant(path.relative_to(root), one) for one in changes if not line or one.line == int(line)]
    return found


@cache
def select_tests(root: Path, module: Path) -> list[Path]:
    """Return the test files of a module, relative to `root`.

    First its mirror (`training/adept_training/X/y.py` has `tests/training/X/test_y.py`), then those of the mirrored
    folder that import it; if there are none, those of all folders that do, and else the whole mirrored folder.
    """
    parts = [part for part in module.with_suffix("").parts if part != "training"]
    inner = ["training", *parts[1:]] if parts[0] == "adept_training" else parts[1:]
    folder = root.joinpath("tests", *inner[:-1])
    mirrored, name = sorted(folder.rglob("*.py")), ".".join(parts)
    first = [path for path in mirrored if path.name == f"test_{parts[-1]}.py"]
    found = first + [path for path in _importers(root, mirrored, name) if path not in first]
    found = found or _importers(root, sorted((root / "tests").rglob("*.py")), name)
    return [path.relative_to(root) for path in found or mirrored if path.name.startswith("test_")]


def _importers(root: Path, files: list[Path], module: str) -> list[Path]:
    """Return the test files that import a module, then those that import a helper in `files` that does."""
    names, found = {module}, list[Path]()
    for _ in range(3):
        found += [path for path in files if path not in found and names & _imports(path)]
        names |= {".".join(path.relative_to(root).with_suffix("").parts) for path in found}
    return [path for path in found if path.name.startswith("test_")]


@cache
def _imports(path: Path) -> frozenset[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return frozenset(found)
