"""The starting points of a run, as every report shows them."""

from __future__ import annotations

from pathlib import Path

import pytest

from adept_hub.spec import Start
from adept_training.pages.lineage import write_starts
from adept_training.pages.page import Page

OLD, DIRECT = Start("first.of_all", "a" * 64, "mit"), Start("second.on_it", "b" * 64, "cc-by-4.0")


def test_the_direct_start_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[list[str]] = []
    monkeypatch.setattr(Page, "table", lambda self, head, body: rows.extend(body))
    write_starts(Page("title"), [OLD, DIRECT], "cc-by-4.0")
    assert rows == [["second.on_it", "cc-by-4.0", "b" * 64], ["first.of_all", "mit", "a" * 64]]


def test_a_run_from_nothing_and_a_missing_license_are_said(tmp_path: Path) -> None:
    page = Page("title")
    write_starts(page, [], "", of=" of the other")
    page.write(tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert "Started from of the other" in text
    assert "Random values: the run did not start from a checkpoint." in text
    assert "License of these weights: unstated." in text
