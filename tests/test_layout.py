"""The plan of the house: small modules in small rooms, and no circle among rooms of a package's top level."""

from __future__ import annotations

import ast
from pathlib import Path
from statistics import median

import pytest

import adept_hub
import adept_training

PACKAGES = [Path(package.__file__).parent for package in (adept_hub, adept_training)]
BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
TESTS = Path(__file__).parent
MODULES = [path for package in PACKAGES for path in sorted(package.rglob("*.py"))]


def test_modules_are_small() -> None:
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    assert len(lines) > 250
    assert median(lines.values()) <= 120
    around = [path for folder in (BENCHMARKS, TESTS) for path in folder.rglob("*.py")]
    lines |= {path: len(path.read_text(encoding="utf-8").splitlines()) for path in around}
    assert {str(path): count for path, count in lines.items() if count > 300} == {}


def test_folders_are_small() -> None:
    folders: dict[Path, int] = {}
    for path in [*MODULES, *BENCHMARKS.rglob("*.py")]:
        if path.name != "__init__.py":
            folders[path.parent] = folders.get(path.parent, 0) + 1
    assert {str(folder): count for folder, count in folders.items() if count > 14} == {}


def _imports(path: Path, package: Path) -> set[str]:
    """Modules of the package that a module imports, anywhere in it, but not for type checking alone."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and id(node) not in typing:
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {name for name in found if name.startswith(f"{package.name}.")}


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
def test_no_module_imports_itself_through_others(package: Path) -> None:
    names = {
        ".".join((package.name, *path.relative_to(package).with_suffix("").parts)): path
        for path in sorted(package.rglob("*.py"))
        if path.name != "__init__.py"
    }
    graph = {name: {other for other in _imports(path, package) if other in names} for name, path in names.items()}
    left = dict(graph)
    while free := [name for name, needs in left.items() if not needs & left.keys()]:
        for name in free:
            del left[name]
    assert not left, "these import each other, or what does"
