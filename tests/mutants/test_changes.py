"""The changes of a source, written out by hand, and what is left alone."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.mutants.changes import mutations

ROOT = Path(__file__).parents[2]

CHANGED = {
    "x = a < b": {"x = (a <= b)"},
    "x = a < b <= c": {"x = (a <= b <= c)", "x = (a < b < c)"},
    "x = a is None": {"x = (a is not None)"},
    "x = a - b * c": {"x = (a + b * c)", "x = a - (b / c)"},
    "x = a ** b": {"x = (a * b)"},
    "x = a | b": {"x = (a & b)"},
    "a += b": {"a -= b"},
    "x = a and b": {"x = (a or b)"},
    "x = not a": {"x = (a)"},
    "x = -a": {"x = (a)"},
    "x = a[-1]": {"x = a[-2]", "x = a[-0]"},
    "x = 7": {"x = 8", "x = 6"},
    "x = 0.3": {"x = 0.6"},
    "x = 0.0": {"x = 1.0"},
    "x = f(keepdim=True)": {"x = f(keepdim=False)"},
    "x = np.maximum(a, b)": {"x = np.minimum(a, b)"},
    "x = min(a)": {"x = max(a)"},
    "if a: f(b)": {"if (not (a)): f(b)", "if a: pass"},
    "if a == b: x = c": {"if (a != b): x = c"},
    "if not a: x = c": {"if (a): x = c"},
    "x = [a for a in b if a]": {"x = [a for a in b if (not (a))]"},
    "x = a if b else c": {"x = a if (not (b)) else c"},
    "while a: break": {"while (not (a)): break", "while a: continue"},
    "def f(a: int = 7): return a": {
        "def f(a: int = 8): return a",
        "def f(a: int = 6): return a",
        "def f(a: int = 7): return None",
    },
    'x = ("é", 7)': {'x = ("é", 8)', 'x = ("é", 6)'},  # the parser counts in bytes
    'x = "é"\ny = 7': {'x = "é"\ny = 8', 'x = "é"\ny = 6'},
}


@pytest.mark.parametrize(("source", "changed"), CHANGED.items(), ids=CHANGED)
def test_changes_are_those_written_by_hand(source: str, changed: set[str]) -> None:
    assert {one.apply(source) for one in mutations(source)} == changed


@pytest.mark.parametrize(
    "source",
    [
        'def f() -> int | None:\n    """Add 1 and 2."""',
        'raise ValueError(f"{a + 1} of " + str(not b))',
        "assert a > 0",
        "@cache(7)\nclass A: pass",
        "x: Literal[7] | B = y",
        "def __repr__(self): return 7",
        "if TYPE_CHECKING: import a",
        'x = "a" + b',
        'x = folder / "a"',
        "x = zip(a, b, strict=True)",
        "log.info(7)",
        "return_ = None",
        "def f(): return None",
    ],
)
def test_what_no_test_should_notice_is_left_alone(source: str) -> None:
    assert mutations(source) == []


@pytest.mark.parametrize("name", ["metrics/voc.py", "method/detection.py"])
def test_every_change_of_a_module_is_another_program(name: str) -> None:
    source = (ROOT / "training/adept_training" / name).read_text(encoding="utf-8")
    programs = {ast.dump(ast.parse(one.apply(source))) for one in mutations(source)}
    assert len(programs) == len(mutations(source)) > 50
    assert ast.dump(ast.parse(source)) not in programs
