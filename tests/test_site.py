"""Pages of the site: all are in the navigation, and every link leads to a file and, within it, to a heading.

`make docs` builds the site and checks the same; it needs packages that the tests do not have.
"""

from __future__ import annotations

import ast
import re
import textwrap
import tomllib
from pathlib import Path

import pytest
import yaml

from adept_hub import errors

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
#: Pages that docs/_site/hooks.py makes of files of the root.
MADE = {"contributing.md", "security.md", "code-of-conduct.md", "changelog.md"}


class _Loader(yaml.SafeLoader):
    """Reads mkdocs.yml, whose tags name Python objects, without them."""


def _named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _leaves(node: object) -> list[str]:
    if isinstance(node, str):
        return [node]
    children = node.values() if isinstance(node, dict) else node
    return [leaf for child in children for leaf in _leaves(child)]  # type: ignore[attr-defined]


def headings(text: str) -> set[str]:
    """The anchors of a page, as GitHub and mkdocs make them of plain headings."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.S | re.M)
    found = re.findall(r"^#+ (.+)$", text, re.M)
    return {re.sub(r"[\s]+", "-", re.sub(r"[^\w\s-]", "", title.strip().lower())) for title in found}


def links(text: str) -> list[str]:
    text = re.sub(r"^```.*?^```", "", text, flags=re.S | re.M)
    return [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if not re.match(r"[a-z]+:", link)]


def fault_of(page: Path, link: str) -> str:
    name, _, anchor = link.partition("#")
    target = page if not name else (page.parent / name).resolve()
    if not target.exists():
        return f"{link}: no such file"
    if anchor and anchor not in headings(target.read_text(encoding="utf-8")):
        return f"{link}: no such heading"
    return ""


def test_every_page_is_in_the_navigation() -> None:
    listed = _leaves(yaml.load((ROOT / "mkdocs.yml").read_text(), _Loader)["nav"])
    assert len(set(listed)) == len(listed)
    assert set(listed) == {path.relative_to(DOCS).as_posix() for path in PAGES} | MADE
    assert set(re.findall(r': "([\w-]+\.md)"', (DOCS / "_site/hooks.py").read_text())) == MADE


@pytest.mark.parametrize("page", [*PAGES, *sorted(ROOT.glob("*.md"))], ids=_named)
def test_every_link_leads_somewhere(page: Path) -> None:
    found = links(page.read_text(encoding="utf-8"))
    assert [fault for link in found if (fault := fault_of(page, link))] == []


def test_the_list_for_language_models_leads_to_every_page() -> None:
    listed = links((DOCS / "llms.txt").read_text())
    assert [link for link in listed if not (DOCS / link).is_file()] == []
    rest = {path.relative_to(DOCS).as_posix() for path in PAGES} - set(listed)
    assert rest == {"api.md", "architecture.md", "decisions.md"}


@pytest.mark.parametrize("page", ["index", "choose", "data", "concepts", "decisions"])
def test_a_first_page_shows_a_picture_early(page: str) -> None:
    lines = (DOCS / f"{page}.md").read_text().splitlines()
    pictures = [number for number, line in enumerate(lines) if line.startswith("![")]
    assert pictures
    assert pictures[0] < 15


def without_blocks(text: str) -> str:
    return re.sub(r"^ *```.*?^ *```", "", text, flags=re.S | re.M)


def swallowed_lists(text: str) -> list[str]:
    """First items of lists that continue the paragraph above: Markdown then renders no list."""
    item = re.compile(r"([-*]|\d+\.) \S")
    paragraphs = [part.splitlines() for part in re.split(r"\n\s*\n", without_blocks(text))]
    starts = [next((line for line in lines if item.match(line)), "") for lines in paragraphs]
    return [first for first, lines in zip(starts, paragraphs, strict=True) if first and not item.match(lines[0])]


@pytest.mark.parametrize("page", PAGES, ids=_named)
def test_a_list_stands_apart_from_the_paragraph_above(page: Path) -> None:
    assert swallowed_lists(page.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("page", PAGES, ids=_named)
def test_the_commands_of_a_table_do_not_share_a_folder(page: Path) -> None:
    for table in re.findall(r"(?:^\|.*\n)+", page.read_text(encoding="utf-8"), re.M):
        rows = [row for row in table.splitlines() if "`adept finetune " in row or "`adept pretrain " in row]
        folders = [folder for row in rows for folder in re.findall(r"--out (\S+)`", row)]
        assert len(set(folders)) == len(folders)


@pytest.mark.parametrize("page", PAGES, ids=_named)
def test_pages_install_from_the_checkout_while_nothing_is_released(page: Path) -> None:
    assert "Unreleased" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), "or pages may name the package"
    text = page.read_text(encoding="utf-8").replace("### `pip install adept-hub` finds nothing", "")
    assert re.findall(r"pip install\s+'?adept-hub\S*", text) == []


@pytest.mark.parametrize("page", PAGES, ids=_named)
def test_the_folder_of_a_redirected_output_is_made_first(page: Path) -> None:
    """Names in capitals stand for what the reader has, and shells have their own folders below ``~``."""
    fenced = re.findall(r"^```([^\n]*)\n(.*?)^```", page.read_text(encoding="utf-8"), re.S | re.M)
    for block in (code for language, code in fenced if language in ("", "bash", "sh")):
        for found in re.finditer(r" > (?!/dev/)([\w/.-]+)/[\w.-]+(?= |$)", block, re.M):
            made = f"mkdir -p {found[1]}\n" in block[: found.start()]
            assert made or found[1].rpartition("/")[2].isupper(), found[0]


def blocks(page: Path) -> list[str]:
    """Blocks of Python, those of list items too."""
    fenced = re.findall(r"^( *)```python[^\n]*\n(.*?)^\1```", page.read_text(encoding="utf-8"), re.S | re.M)
    return [textwrap.dedent(code) for _, code in fenced]


def test_a_block_of_a_list_item_is_found(tmp_path: Path) -> None:
    page = tmp_path / "a.md"
    page.write_text("```python name\na = 1\n```\n\n- item:\n\n  ```python\n  if a:\n      b = 2\n  ```\n")
    assert blocks(page) == ["a = 1\n", "if a:\n    b = 2\n"]


@pytest.mark.parametrize("page", [ROOT / "README.md", *(p for p in PAGES if p.parent.name != "reference")], ids=_named)
def test_python_in_pages_is_python(page: Path) -> None:
    for block in blocks(page):
        ast.parse(block)


def test_the_first_lines_run(capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = blocks(DOCS / "index.md")
    exec(compile(block, "docs/index.md", "exec"), {})
    assert "license of the weights: cc-by-4.0" in capsys.readouterr().out, "the page states this license"


@pytest.mark.parametrize("page", [*PAGES, *sorted(ROOT.glob("*.md"))], ids=_named)
def test_the_tests_that_a_page_names_exist(page: Path) -> None:
    """By their path, or by their name alone after a path of the same folder."""
    named = re.findall(r"[\w/]*\btest_\w+\.py", page.read_text(encoding="utf-8"))
    files = {path.name for path in (ROOT / "tests").rglob("test_*.py")}
    assert [name for name in named if not ((ROOT / name).is_file() if "/" in name else name in files)] == []


@pytest.mark.parametrize("package", ["adept_hub", "training/adept_training"])
def test_the_plan_of_the_house_has_every_room(package: str) -> None:
    plan = (DOCS / "architecture.md").read_text()
    rooms = {path.parent.name for path in (ROOT / package).glob("*/*") if path.parent.name != "__pycache__"}
    assert [room for room in sorted(rooms) if f"`{room}/`" not in plan] == []


def test_the_errors_of_troubleshooting_exist() -> None:
    named = set(re.findall(r"`(\w+Error)`", (DOCS / "troubleshooting.md").read_text()))
    assert len(named) > 10
    assert [name for name in named if not hasattr(errors, name)] == []


def test_the_site_s_requirements_are_an_extra() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    plugins = yaml.load((ROOT / "mkdocs.yml").read_text(), _Loader)["plugins"]
    assert "search" in plugins
    assert any(word.startswith("mkdocstrings[python]") for word in extras["docs"])


def test_a_swallowed_list_is_found() -> None:
    text = "Where:\n- one\n  more of it\n- two\n\nApart:\n\n- three\n\n```\ncode\n- no list\n```\n"
    assert swallowed_lists(text) == ["- one"]
    assert swallowed_lists("- one\n\n  More of it.\n- two\n") == ["- two"]
    assert swallowed_lists("**All** of it:\n1. one\n2. two\n") == ["1. one"]


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "a.md"
    page.write_text("# One & two\n[x](#one--two) [y](b.md) [z](#three)\n```\n# no heading\n[q](gone.md)\n```\n")
    assert headings(page.read_text()) == {"one-two"}
    assert links(page.read_text()) == ["#one--two", "b.md", "#three"]
    assert fault_of(page, "b.md") == "b.md: no such file"
    assert fault_of(page, "#three") == "#three: no such heading"
    assert fault_of(page, "#one-two") == ""
