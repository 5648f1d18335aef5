"""Results in a notebook: well-formed, without anything that runs or is fetched, and with all text escaped."""

from __future__ import annotations

import base64
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from adept_hub.detectors.detections import Detections
from adept_hub.spec import DetectorSpec
from adept_training.comparing.compare import write_result
from adept_training.comparing.result import Result, digest
from adept_training.comparing.runs import ComparisonPlan, RunResult
from adept_training.finetuning.recipe import load_finetune_recipe
from adept_training.finetuning.session import FinetuneResult
from adept_training.labels.records import Data
from adept_training.metrics.coco import CocoMetrics
from adept_training.metrics.evaluate import Evaluation
from adept_training.pages.inline import drawing, files, inline, number, paragraphs, table
from adept_training.pretraining.watch.outcome import PretrainResult
from adept_training.pretraining.watch.verdict import Verdict
from adept_training.proposals.run import RunReport
from tests.training.made import crowded

TAGS = {"div", "p", "b", "code", "table", "thead", "tbody", "tr", "th", "td", "img"}
EVIL = '<script>alert("1")</script>&\x1b[31m\udcff'


def read(shown: str) -> tuple[ElementTree.Element, str]:
    """Parse what a notebook would show, check that it is harmless, and return the tree and its text."""
    shown.encode("utf-8")
    tree = ElementTree.fromstring(shown)  # well-formed
    assert {element.tag for element in tree.iter()} <= TAGS
    for element in tree.iter():
        assert set(element.attrib) <= {"style", "alt", "src"}
        assert element.get("src", "data:image/svg+xml;base64,").startswith("data:image/svg+xml;base64,")
        styles = element.get("style", "")
        assert "url(" not in styles
        assert not re.search(r"(?<![-\w])color: (?!inherit)|background: (?!transparent)", styles), "dark mode"
    return tree, " ".join(" ".join(tree.itertext()).split())


def rows(tree: ElementTree.Element) -> list[list[str]]:
    return [["".join(cell.itertext()) for cell in line] for line in tree.iter("tr")]


def evaluation(**changes: Any) -> Evaluation:
    summary = {"AP": 12.3456, "AP50": 34.5, "AP75": math.nan}
    classes = {EVIL: {"AP": 1.25, "AP50": math.nan}, "cell": {"AP": 23.5, "AP50": 45.75}}
    boxes = CocoMetrics(summary, classes, np.zeros((2, 101)))
    split = replace(crowded(4), name=EVIL, classes=(EVIL, "cell", "other"))
    found = {image.key: Detections(np.zeros((1, 4)), np.ones(1), np.ones(1, np.int64)) for image in split.images}
    return replace(Evaluation(split, found, {"AR100": 67.25}, boxes), **changes)


def test_text_is_escaped_in_every_part() -> None:
    tree, text = read(
        inline(
            EVIL, paragraphs([EVIL]), paragraphs([EVIL], "bad"), table([EVIL, "x"], [[EVIL, EVIL]]), table(["x"], [])
        )
    )
    assert text.count('<script>alert("1")</script>&') == 6
    assert len(list(tree.iter("table"))) == 1
    assert [number(value) for value in (None, math.nan, 1.005, 0.0)] == ["-", "-", "1.00", "0.00"]


def test_a_drawing_is_a_picture_and_only_what_exists_is_shown(tmp_path: Path) -> None:
    evil = tmp_path / 'a"><b>.svg'
    evil.write_text("<svg><script>alert(1)</script></svg>")
    tree, _ = read(inline("", drawing(evil, EVIL), files({"Plot": evil, "Other": tmp_path / "none", "No": None})))
    (picture,) = tree.iter("img")
    assert base64.b64decode(picture.get("src", "").partition(",")[2]) == evil.read_bytes()
    assert ["".join(one.itertext()) for one in tree.iter("code")] == [str(evil)]
    assert drawing(tmp_path / "none", "") == drawing(None, "") == drawing(tmp_path, "") == ""


def test_an_evaluation_has_its_metrics_and_those_of_its_classes() -> None:
    tree, text = read(evaluation()._repr_html_())
    assert text.startswith('<script>alert("1")</script>&')
    assert ["AP", "12.35", "AP50", "34.50", "AP75", "-", "RPN_AR100", "67.25"] in rows(tree)
    assert ["cell", "23.50", "45.75"] in rows(tree)
    assert [row[1:] for row in rows(tree) if row[0].startswith("<script>")] == [["1.25", "-"]]
    of_source = evaluation(boxes=None, found={})
    assert rows(read(of_source._repr_html_())[0]) == [["metric", ""] * 4, ["RPN_AR100", "67.25"]]
    assert "Nothing was found: no detection of 20 objects" in read(evaluation(found={})._repr_html_())[1]


@pytest.mark.parametrize("interrupted", [False, True])
def test_a_fine_tuning_has_its_metrics_and_the_detector(interrupted: bool, tmp_path: Path) -> None:
    folder = tmp_path / "a<b>&"
    (folder / "best").mkdir(parents=True)
    result = FinetuneResult(folder, 40, 90, interrupted, "best", 30, 56.789, "test", evaluation(), f"caution {EVIL}")
    tree, text = read((FinetuneResult(folder, 40, 90, True) if interrupted else result)._repr_html_())
    assert text.startswith(f"{folder}: 40 of 90 iterations" + (" (interrupted; resume=True continues)" * interrupted))
    if not interrupted:
        assert rows(tree)[1:] == [["AP", "12.35"], ["AP50", "34.50"], ["AP75", "-"]]
        assert "Best validation AP: 56.79, after 30 iterations." in text
        assert "caution <script>" in text
        assert f"Detector: {folder / 'best'}" in text


def test_a_pre_training_has_its_verdict_and_the_probes_before_and_after(tmp_path: Path) -> None:
    (tmp_path / "export").mkdir()
    (tmp_path / "report.html").touch()
    first, last = {"target_objectness_auc": 0.5}, {"target_objectness_auc": 0.7512, "target_head_rank": 8.25}
    verdict = Verdict("better", (EVIL,))
    result = PretrainResult(tmp_path, 120, 200, False, first, last, verdict, (f"try {EVIL}",))
    tree, text = read(result._repr_html_())
    assert text.startswith(f"{tmp_path}: 120 of 200 steps better than the start: <script>")
    assert rows(tree)[1:] == [["target objectness auc", "0.500", "0.751"], ["target head rank", "-", "8.250"]]
    assert f"Report: {tmp_path / 'report.html'} Weights: {tmp_path / 'export'}" in text
    _, short = read(PretrainResult(tmp_path / "none", 3, 200, True, {}, {})._repr_html_())
    assert short == f"{tmp_path / 'none'}: 3 of 200 steps (interrupted; resume=True continues)"


def _compared(tmp_path: Path) -> Result:
    evil = EVIL.partition("\x1b")[0]
    ap = {"scratch": (10.0, 12.0, 11.0), evil: (14.0, 17.0, 17.0)}  # differences 4, 5 and 6: ± 4.303 / sqrt(3)
    cells = [
        RunResult(source, "10%", seed, "", 1, 25, 1.0, {"AP": value, "AP50": value})
        for source, values in ap.items()
        for seed, value in enumerate(values)
    ]
    plan = ComparisonPlan(dict.fromkeys(ap, "x"), ("10%",), 3, {"": load_finetune_recipe()}, DetectorSpec())
    result, split = digest(cells, plan, "AP"), crowded(4)
    write_result(result, plan, Data("made up", split, split, None), tmp_path, "")
    return replace(result, page=tmp_path / "compare.html", plot=tmp_path / "compare.svg")


def test_a_comparison_has_the_gains_with_intervals_and_its_plot(tmp_path: Path) -> None:
    result = _compared(tmp_path)
    tree, text = read(result._repr_html_())
    means, gains = rows(tree)[:3], rows(tree)[3:]
    assert [row[1] for row in means[1:]] == ["11.0 ± 2.5", "16.0 ± 4.3 (better)"]
    assert gains[0][0] == "minus scratch"
    assert [row[1] for row in gains[1:]] == ["+5.0 ± 2.5, better"]
    assert "1 of 1 are significantly better" in text
    assert f"Page: {tmp_path / 'compare.html'}" in text
    (picture,) = tree.iter("img")
    assert base64.b64decode(picture.get("src", "").partition(",")[2]) == (tmp_path / "compare.svg").read_bytes()
    assert not list(read(replace(result, plot=tmp_path / "none.svg")._repr_html_())[0].iter("img"))


def test_boxes_have_their_counts(tmp_path: Path) -> None:
    (tmp_path / "unreadable.jsonl").touch()
    report = RunReport(Path("a<b>"), 1200, 3000, 7, 3, tmp_path / "unreadable.jsonl", 2, 0, 9.5)
    tree, text = read(report._repr_html_())
    assert text.startswith("a<b>: boxes of 1,200 images")
    assert rows(tree)[1:] == [
        ["images", "1,200"], ["boxes", "3,000"], ["boxes per image", "2.5"], ["images by fallback", "7"],
        ["unreadable images", "3"],
    ]  # fmt: skip
    assert f"Unreadable: {tmp_path / 'unreadable.jsonl'}" in text
