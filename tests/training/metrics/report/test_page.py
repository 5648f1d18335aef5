"""The confusion matrix by hand, the report page, and `adept evaluate`."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from adept_hub.cli.main import main
from adept_hub.spec import Start
from adept_training.labels.datasets import open_data
from adept_training.labels.identity import ImageKey
from adept_training.metrics.coco_files import as_coco_json
from adept_training.metrics.confusion import confusion
from adept_training.metrics.evaluate import evaluate_detections
from adept_training.metrics.report.page import write_predictions, write_report
from tests.house import House
from tests.training.conftest import TINY
from tests.training.made import detections, image, imperfect, split


def test_confusion_worked_by_hand() -> None:
    truth = split(
        image("a", [[0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10], [60, 0, 90, 30]], [1, 1, 2, 3], crowd=[3]),
        classes=3,
    )
    found = {
        ImageKey(1, "a"): detections(
            # right; of another class; a second one on the first; of nothing; within the crowd; too unsure; of nothing,
            # at the crowd's corner
            [
                [0, 0, 10, 10],
                [20, 1, 30, 10],
                [0, 0, 10, 9],
                [150, 150, 160, 160],
                [60, 0, 90, 29],
                [40, 0, 50, 10],
                [85, 25, 120, 60],
            ],
            [0.9, 0.8, 0.7, 0.6, 0.5, 0.2, 0.5],
            [1, 2, 3, 3, 3, 2, 1],
        )
    }
    expected = np.zeros((4, 4), int)
    expected[1, 1] = expected[1, 2] = 1  # the first right, the second taken for class 2
    expected[0, 3] = 2  # the second on the first, and the one of nothing
    expected[0, 1] = 1  # a crowd excuses what matches it, not what touches it
    expected[2, 0] = 1  # missed: what was there was too unsure
    np.testing.assert_array_equal(confusion(truth, found).matrix(), expected)


def test_the_page_holds_everything_and_fetches_nothing(voc: Path, tmp_path: Path) -> None:
    truth = open_data(f"voc:{voc}").report_split
    evaluation = evaluate_detections(truth, imperfect(truth, objects_missed=0.4))
    write_report(evaluation, tmp_path / "report.html", "a <detector>", "adept evaluate ...")
    page = (tmp_path / "report.html").read_text()
    assert "a &lt;detector&gt;" in page
    assert page.count("data:image/jpeg;base64,") >= 6
    assert page.count("<svg") == 2
    for words in ("Precision over recall", "Confusion", "Worst images: Miss", "Worst images: Bkg", "blue", "red"):
        assert words in page
    sure = sum(int((found.scores_D >= 0.3).sum()) for found in evaluation.found.values())
    assert f"{sure} of {sum(map(len, evaluation.found.values()))} detections have a score of at least 0.3" in page
    assert '<td class="words">nothing is there</td>' in page  # words to the left
    assert '<td class="words">-</td>' not in page
    assert re.search(r"<td>\d+\.\d\d</td>", page)  # numbers to the right
    assert "<script" not in page
    assert 'src="http' not in page
    assert len(write_predictions(evaluation, tmp_path / "pictures", 3)) == 3


def test_the_page_lists_what_the_weights_started_from(house: House, tmp_path: Path) -> None:
    start = Start("first.of_all", "a" * 64, "mit")
    weights = replace(house.config, provenance=replace(house.config.provenance, starts=(start,)))
    truth = split(image("a", [[0, 0, 10, 10]], [1]), classes=1)
    evaluation = evaluate_detections(truth, {ImageKey(1, "a"): detections([[0, 0, 10, 10]], [0.9], [1])})
    for path, given in ((tmp_path / "with.html", weights), (tmp_path / "without.html", None)):
        write_report(evaluation, path, "a detector", weights=given)
        page = path.read_text()
        assert ("first.of_all" in page) == ("a" * 64 in page) == (given is not None)


def test_the_command_judges_a_source_s_rpn_and_given_detections(
    make_checkpoint, voc: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, config, _ = make_checkpoint()
    source = str(folder)
    words = ["--data", f"voc:{voc}", "--device", "cpu", "--json"]
    assert main(["evaluate", source, *words, "--size", "64"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert set(report["metrics"]) == {"RPN_AR1", "RPN_AR10", "RPN_AR100", "RPN_AR1000"}
    assert report["split"] == "test"
    assert report["weights"] == config.sha256

    truth = open_data(f"voc:{voc}").report_split
    found = imperfect(truth)
    (tmp_path / "found.json").write_text(json.dumps(as_coco_json(truth, found)))
    assert main(["evaluate", "none", *words, "--detections", str(tmp_path / "found.json")]) == 0
    report = json.loads(capsys.readouterr().out)
    assert "weights" not in report
    given = report["metrics"]
    assert given == pytest.approx(evaluate_detections(truth, found).flat())
    (tmp_path / "found.json").write_text('{"a": 1}')
    assert main(["evaluate", "none", *words, "--detections", str(tmp_path / "found.json")]) == 1


def test_the_command_on_a_run_with_a_report(
    make_checkpoint, voc: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = [word for setting in [*TINY, "schedule.iterations=2"] for word in ("--set", setting)]
    run, data = str(tmp_path / "run"), f"voc:{voc}"
    assert (
        main(["finetune", str(make_checkpoint()[0]), "--data", data, "--out", run, "--device", "cpu", *settings]) == 0
    )
    capsys.readouterr()
    saved = tmp_path / "found.json"
    words = ["evaluate", run, "--data", data, "--device", "cpu", "--report", str(tmp_path / "report")]
    assert main([*words, "--split", "val", "--save-detections", str(saved)]) == 0
    told = capsys.readouterr().out
    assert "RPN_AR1000" in told
    assert (tmp_path / "report" / "report.html").is_file()
    assert len(list((tmp_path / "report" / "predictions").iterdir())) == 8
    assert isinstance(json.loads(saved.read_text()), list)
    # a detector of other classes is refused
    text = (voc / "ImageSets" / "Main" / "test.txt").read_text().split()[0]
    path = voc / "Annotations" / f"{text}.xml"
    path.write_text(path.read_text().replace("red", "green").replace("blue", "green"))
    assert main(words) == 1


def test_of_many_classes_the_page_lists_what_is_mistaken_for_what(tmp_path: Path) -> None:
    """41 classes: each object of class k > 1 found as class k - 1, so that no other name is right."""
    boxes = [[4 * k, 0, 4 * k + 3, 10] for k in range(41)]
    truth = split(image("a", boxes, range(1, 42)), classes=41)
    one = detections(boxes[1:3], [0.9, 0.8], [1, 2])
    write_report(evaluate_detections(truth, {ImageKey(1, "a"): one}), tmp_path / "report.html", "t", "adept evaluate")
    cells = re.findall(r"<td[^>]*>(class \d+)</td><td[^>]*>(class \d+)</td><td[^>]*>(\d+)</td>",
                       (tmp_path / "report.html").read_text())  # fmt: skip
    assert cells == [("class 2", "class 1", "1"), ("class 3", "class 2", "1")]
