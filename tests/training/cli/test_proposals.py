import io
import json
import shlex
import subprocess
import sys

import pytest
from PIL import Image

from adept_hub.cli.main import main
from adept_training.cli.proposals import _ProgressLine
from adept_training.proposals import ProposalTable
from adept_training.proposals.run import ProposalProgress
from tests.training.proposals.photographs import skimage_photographs


@pytest.fixture
def photos(tmp_path):
    (tmp_path / "photos").mkdir()
    for name in ("coffee", "cells"):
        Image.fromarray(skimage_photographs()[name]).save(tmp_path / "photos" / f"{name}.png")
    return tmp_path / "photos"


def adept(*arguments):
    return main(["proposals", *map(str, arguments)])


def test_make_then_look(photos, tmp_path, capsys):
    (photos / "broken.jpg").write_bytes(b"x")
    assert adept(photos, "--out", tmp_path / "boxes", "--workers", 1) == 0
    output = capsys.readouterr()
    assert output.out.splitlines()[0].startswith("2 images, ")
    assert output.out.splitlines()[-1].startswith("1 unreadable images: see ")
    assert "images, " in output.err
    assert "left" in output.err
    assert adept("show", tmp_path / "boxes", "--images", photos, "--out", tmp_path / "look") == 0
    assert "P2 0.000" in capsys.readouterr().out
    assert (tmp_path / "look/report.html").is_file()


def test_json(photos, tmp_path, capsys):
    assert adept(photos, "--out", tmp_path / "boxes", "--workers", 1, "--json", "--quiet") == 0
    output = capsys.readouterr()
    report = json.loads(output.out)
    assert (report["images"], report["unreadable"], report["shards"]) == (2, 0, 1)
    assert output.err == ""
    assert adept("show", tmp_path / "boxes", "--images", photos, "--out", tmp_path / "look", "--json") == 0
    assert set(json.loads(capsys.readouterr().out)["rpn_positives"]) == {"P2", "P3", "P4", "P5"}


def test_options_reach_the_preset(photos, tmp_path):
    options = ["--min-scale", 0.05, "--unique", "--preset", "soco", "--workers", 1, "--quiet"]
    assert adept(photos, "--out", tmp_path / "boxes", *options) == 0
    preset = ProposalTable.open(tmp_path / "boxes").metadata["preset"]
    assert (preset["name"], preset["filter"]["min_scale"], preset["keep_duplicates"]) == ("soco", 0.05, False)
    assert preset["filter"]["min_side"] == 32


def test_many_fallbacks_are_told_with_a_command_that_works(tmp_path, capsys):
    (tmp_path / "flat").mkdir()
    Image.new("RGB", (60, 40), "gray").save(tmp_path / "flat/a.png")
    Image.fromarray(skimage_photographs()["coffee"]).save(tmp_path / "flat/b.png")
    assert adept(tmp_path / "flat", "--out", tmp_path / "boxes", "--workers", 1, "--quiet") == 0
    told = capsys.readouterr().err.splitlines()
    assert told[0].startswith("caution: preset paper left no box in 1 of 2 images (50%)")
    words = shlex.split(told[-1])
    assert words[:2] == ["adept", "proposals"]
    assert main([*words[1:], "--workers", "1", "--quiet"]) == 0
    assert ProposalTable.open(tmp_path / "boxes-objects").metadata["preset"]["name"] == "objects"


def test_number_and_sizes_reach_objects(photos, tmp_path):
    options = ["--preset", "objects", "--boxes", 7, "--sizes", "8..40%", "--min-scale", 0.02, "--workers", 1, "--quiet"]
    assert adept(photos, "--out", tmp_path / "boxes", *options) == 0
    table = ProposalTable.open(tmp_path / "boxes")
    preset = table.metadata["preset"]
    assert (preset["objects"]["most"], preset["objects"]["sizes"]) == (7, [0.08, 0.4])
    assert preset["filter"]["min_scale"] == 0.02
    assert [len(table.boxes(key)) for key in table] == [7, 7]


@pytest.mark.parametrize(
    "arguments",
    [
        ["photos"],
        ["photos", "table", "--out", "x"],
        ["show", "table", "--out", "x"],
        ["show", "--images", "photos", "--out", "x"],
        ["photos", "--images", "photos", "--out", "x"],
        ["photos", "--out", "x", "--preset", "papr"],
        ["photos", "--out", "x", "--boxes", "9"],
        ["photos", "--out", "x", "--data", "coco:a.json:b"],
        ["photos", "--out", "x", "--split", "val"],
        ["evaluate", "--data", "coco:a.json:b"],
        ["evaluate", "table"],
        ["tune", "photos"],
        ["tune", "--data", "coco:a.json:b"],
        ["tune", "photos", "--data", "coco:a.json:b", "--boxes", "0"],
        ["evaluate", "table", "--data", "coco:a.json:b", "--images", "photos"],
        ["photos", "--out", "x", "--sizes", "8%..40%"],
        ["photos", "--out", "x", "--preset", "objects", "--sizes", "40%..8%"],
        ["photos", "--out", "x", "--preset", "objects", "--sizes", "8%-40%"],
        ["photos", "--out", "x", "--preset", "objects", "--boxes", "0"],
    ],
)
def test_bad_usage_is_status_2(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        adept(*arguments)
    assert caught.value.code == 2


@pytest.mark.parametrize(
    ("make", "arguments", "message"),
    [
        ("nothing", ["nowhere", "--out", "x"], "does not exist"),
        ("folder", ["empty", "--out", "x"], "is empty"),
        ("strict", ["bad", "--out", "x", "--strict", "--workers", "1"], "is not a readable image"),
        ("nothing", ["show", "nowhere", "--images", ".", "--out", "x"], "No proposals in nowhere"),
    ],
)
def test_mistakes_are_status_1_without_traceback(make, arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad/a.jpg").write_bytes(b"x")
    assert adept(*arguments) == 1
    errors = capsys.readouterr().err
    assert message in errors
    assert "Traceback" not in errors


def test_declaring_the_arguments_imports_nothing_heavy():
    code = (
        "import argparse, sys; from adept_training.cli import proposals;"
        "proposals.add_arguments(argparse.ArgumentParser());"
        "sys.exit(bool({'numpy', 'numba', 'pyarrow', 'cv2', 'torch'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("live", [False, True])
def test_the_line_counts_from_the_start(live: bool) -> None:
    class Stream(io.StringIO):
        def isatty(self) -> bool:
            return live

    line = _ProgressLine(stream := Stream())
    line(ProposalProgress(30, 500, 0, 0.0, 0.0))
    assert line.text == "boxes: 30/500 images", "no speed before the first image"
    line(ProposalProgress(31, 500, 1, 0.5, 938.0))
    assert line.text == "boxes: 31/500 images, 0.5/s, 0:15:38 left, 1 unreadable"
    line(ProposalProgress(50, 500, 1, 2.0, 225.0))
    line.end()
    told = [text.rstrip() for text in stream.getvalue().replace("\r", "\n").splitlines() if text.strip()]
    assert told == (
        ["boxes: 30/500 images", "boxes: 31/500 images, 0.5/s, 0:15:38 left, 1 unreadable"] * live
        + ["boxes: 50/500 images, 2.0/s, 0:03:45 left, 1 unreadable"]
    ), "without a terminal a line per tenth"
