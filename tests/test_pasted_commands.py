"""Commands in messages are pasted into a shell: whatever comes from elsewhere is quoted in them."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import adept_hub

PACKAGE = Path(adept_hub.__file__).parent
COMMAND = re.compile(
    r"(?:^|[\s(:\"'`])(?:adept [a-z]+|rm|df|cp|mkdir|pip install|python tools/\S+|hf)(?: [^\n]*)? \S*$"
)
#: Names that `adept_hub.names` or a fixed list has checked: letters, digits and ``._-/@`` only.
CHECKED = {
    "known.framework", "known.framework.name", "self.framework", "info.name", "info.method", "where", "extra", "source",
    "framework", "name",
}  # fmt: skip
QUOTED = {"shlex.quote", "shlex.join", "command_line", "quote"}


def unquoted(tree: ast.AST) -> list[str]:
    """The expressions that stand unquoted in the command of an f-string."""
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.JoinedStr):
            continue
        text = ""
        for value in node.values:
            if isinstance(value, ast.Constant):
                text += str(value.value)
                continue
            assert isinstance(value, ast.FormattedValue)
            inner = value.value
            is_quoted = isinstance(inner, ast.Call) and ast.unparse(inner.func) in QUOTED
            if COMMAND.search(text) and not is_quoted and ast.unparse(inner) not in CHECKED:
                found.append(ast.unparse(inner))
            text += "X"
    return found


@pytest.mark.parametrize(
    ("code", "wrong"),
    [
        ('f"It is there.\\nRemove it: rm -r {path}"', ["path"]),
        ('f"rm {shlex.quote(str(path))}"', []),
        ('f"Try: adept push {folder} {repo}"', ["folder", "repo"]),
        ("f\"Fetch it: adept pull 'hf-hub:{repo}'\"", ["repo"]),
        ('f"{path} is not an adept folder"', []),
    ],
)
def test_the_test_finds_them(code: str, wrong: list[str]) -> None:
    assert unquoted(ast.parse(code)) == wrong


def test_every_pasted_command_is_quoted() -> None:
    wrong = {path.name: unquoted(ast.parse(path.read_text(encoding="utf-8"))) for path in PACKAGE.rglob("*.py")}
    assert {name: found for name, found in wrong.items() if found} == {}
