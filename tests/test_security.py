"""SECURITY.md names tests, commands and documents that exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "SECURITY.md").read_text()


def test_every_test_and_document_is_there() -> None:
    named = set(re.findall(r"tests/[\w/]+\.py", TEXT)) | set(re.findall(r"\]\(([\w/.]+)\)", TEXT))
    named |= {f"{module.replace('.', '/')}.py" for module in re.findall(r"python -m ([\w.]+)", TEXT)}
    assert len(named) > 12
    assert [name for name in named if not (ROOT / name).is_file()] == []


def test_every_reader_and_command_is_in_a_test_that_it_names() -> None:
    named = " ".join(re.findall(r"tests/[\w/]+\.py", TEXT))
    for path in (ROOT / "tests" / "hostile").glob("test_*.py"):
        assert path.name in named or path.name == "test_hangup.py", path.name


def test_make_runs_them() -> None:
    makefile = (ROOT / "Makefile").read_text()
    recipe = makefile.split("\nhostile:")[1].split("\n\n")[0]
    for word in re.findall(r"tests/[\w/]+(?:\.py)?", recipe):
        assert (ROOT / word).exists(), word
    assert "ADEPT_KILLS=50" in recipe
    assert "make hostile" in TEXT
