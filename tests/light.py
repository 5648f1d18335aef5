"""The light tests: those that need no more than the library and the extra `test` (`make test-light`).

A file is light if nothing that it imports at module level, itself or through other modules of the tests, belongs to
the trainer, to a framework or to an extra. In a light file a test that imports such a package in its body is left out.
"""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

#: Packages that `pip install '.[test]'` does not install.
HEAVY = frozenset(
    [
        "adept_training",
        "benchmarks",
        "cv2",
        "datasets",
        "detectron2",
        "lightning_fabric",
        "llvmlite",
        "markdown_it",
        "matplotlib",
        "mmcv",
        "mmdet",
        "mmengine",
        "numba",
        "onnx",
        "onnxruntime",
        "pandas",
        "pyarrow",
        "pycocotools",
        "ray",
        "selectivesearch",
        "skimage",
        "tensorboard",
        "tidecv",
    ]
)

#: Files that import the trainer by a name in a string.
BY_NAME = frozenset(("tests/arguments/test_calls.py", "tests/cli/test_options_reach.py", "tests/test_evidence.py"))


@functools.cache
def needed_by(file: Path) -> frozenset[str]:
    """Return the modules that a file imports at module level."""
    modules: set[str] = set()
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return frozenset(modules)


@functools.cache
def is_light(path: Path) -> bool:
    """Check what a file of tests imports when it is collected, with the `conftest.py` files above it."""
    if path.is_relative_to(ROOT / "tests" / "training") or path.relative_to(ROOT).as_posix() in BY_NAME:
        return False
    files = [path, *(ROOT / "tests" / folder / "conftest.py" for folder in path.relative_to(ROOT / "tests").parents)]
    seen: set[Path] = set()
    while files:
        file = files.pop()
        if file in seen or not file.is_file():
            continue
        seen.add(file)
        for module in needed_by(file):
            if module.split(".")[0] in HEAVY:
                return False
            if module.startswith("tests."):
                home = ROOT.joinpath(*module.split("."))
                files += [home.with_suffix(".py"), home / "__init__.py"]
    return True


@functools.cache
def heavy_tests(path: Path) -> frozenset[str]:
    """Return the functions of a file that import such a package, also in a script that they or their helpers run."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    parts: dict[str, ast.AST] = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            parts[node.targets[0].id] = node.value
    used = {name: {n.id for n in ast.walk(part) if isinstance(n, ast.Name)} for name, part in parts.items()}
    heavy = {name for name, part in parts.items() if _IMPORT.search(_text(part))}
    while more := {name for name in parts if name not in heavy and used[name] & heavy}:
        heavy |= more
    return frozenset(heavy)


def _text(part: ast.AST) -> str:
    """Return code, and every string in it, with its lines as they are."""
    strings = [node.value for node in ast.walk(part) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return "\n".join([ast.unparse(part), *strings])


_IMPORT = re.compile(rf"^\s*(?:import|from) (?:[\w. ]+, )*(?:{'|'.join(sorted(HEAVY))})\b", re.M)
