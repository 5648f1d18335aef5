"""Pages: names are text, nothing is wider than a phone, and plots keep their texts apart, as a browser shows them."""

from __future__ import annotations

import json
import re
from pathlib import Path

from adept_training.pages.page import Chart, Page
from adept_training.pages.plotting import COLORS, lines_plot
from adept_training.pages.style import STYLE
from adept_training.pretraining.watch.report import write_report
from tests.training.pages.browser import look
from tests.training.support import tiny

NAME = "<script>&\"'/a/very/long/path/" + "x" * 120


def _page(path: Path) -> str:
    page = Page(NAME, NAME)
    page.verdict(NAME, "bad", NAME)
    page.code(f"adept finetune {NAME}")
    page.table(["name", "value"], [[NAME, "1"]])
    page.cards([NAME, NAME, NAME], [(NAME, NAME, [NAME, "0.5"])])
    page.charts([Chart(NAME, NAME, NAME, lines_plot({"a": ([0, 1], [0.5, 1])}))] * 2)
    page.picture(b"", NAME)
    with page.fold(NAME):
        page.items([NAME])
    page.write(path)
    return path.read_text(encoding="utf-8")


def test_every_name_is_escaped(tmp_path: Path) -> None:
    text = _page(tmp_path / "page.html")
    assert "<script" not in text
    assert text.count("&lt;script&gt;&amp;&quot;&#x27;/a/") > 12


def _report(run: Path) -> Path:
    run.mkdir()
    (run / "recipe.yaml").write_text(tiny("engine.collapse_spread=0.02").to_yaml())
    probed = ("recall100_iou50", "recall100_iou70", "objectness_auc", "head_rank", "head_same_image", "head_color_r2")
    names = ("loss", "contrast_12", "contrast_13", "spread_target", "spread_online", "retrieval", "head_class", "lr",
             "rpn_box", "positives_p2", "positives_p3", "positives_p4", "positives_p5", "images_per_s")  # fmt: skip
    records = [{"kind": "start", "step": 0, "steps": 9, "images": 9, "held_out": 2, "held_out_boxes": 90}]
    records += [{"kind": "train", "step": i, **dict.fromkeys(names, 1234.5 / i)} for i in range(1, 10)]
    records += [{"kind": "probe", "step": step, **{f"target_{k}": 0.5 + step / 20 for k in probed}} for step in (0, 9)]
    records += [{"kind": "end", "step": 9, "seconds": 1.0, "interrupted": False}]
    (run / "log.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    write_report([run], run / "report.html")
    return run / "report.html"


def test_pages_are_whole_on_a_desk_and_in_a_hand(tmp_path: Path) -> None:
    _page(tmp_path / "page.html")
    pages = [tmp_path / "page.html", _report(tmp_path / "run")]
    for seen in look(pages, [1280, 390], tmp_path):
        assert seen == {"wide": [], "cut": [], "covered": []}


def test_dark_mode_reaches_every_plot() -> None:
    svg = lines_plot({str(i): ([0, 1], [i, i + 1]) for i in range(4)}, marks={"alarm": 0.5})
    assert not re.search(r"(?:fill|stroke): #(?!ffffff)", svg), "a color that a page cannot change"
    for i, color in enumerate(COLORS[:5]):
        assert f"var(--series-{i}, {color})" in svg
    dark = STYLE[STYLE.index("prefers-color-scheme: dark") :]
    assert "--series-1:" in dark[: dark.index("\n}")]


def test_lines_differ_without_color() -> None:
    svg = lines_plot({str(i): ([0, 1], [i, i + 1]) for i in range(3)})
    dashes = [
        re.search(r"stroke-dasharray: ([^;]+)", one) for one in re.findall(r'<path d="M[^"]+"[^>]*series-[^>]+', svg)
    ]
    assert len({dash and dash[1] for dash in dashes}) == 3
