"""``adept plan`` as it is typed: real steps of a tiny recipe on a few images, and a command that runs."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import shlex
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import adept_training
from adept_hub.cli.main import build_parser, main
from adept_hub.errors import DataError, ImagesError, OptionValueError
from adept_hub.words import pulse
from adept_training.planning import arithmetic, planner
from adept_training.planning.plan import Plan
from adept_training.planning.probing import measuring, sample
from adept_training.planning.probing.machine import Machine
from adept_training.planning.text import as_lines
from adept_training.pretraining.recipe import load_recipe
from adept_training.pretraining.run import Run
from tests.training.labels.written import save
from tests.training.support import tiny, write_photographs


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "a recipe.yaml"
    settings = ("data.proposals=opencv-fast", "method.name=soco", "data.cache=true", "data.workers=1", "engine.seed=3")
    path.write_text(tiny(*settings, "engine.precision=fp32", "engine.threads=1").to_yaml())
    return path


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that must stay as it is, as must the one for temporary files; runs are made elsewhere."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    temporary = Path(tempfile.mkdtemp())  # a short path, since it contains the sockets of loader processes
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.setattr(arithmetic, "START", 0.0)
    write_photographs(tmp_path / "my photos", 12)
    yield tmp_path / "my photos"
    left = list(temporary.iterdir())
    shutil.rmtree(temporary)
    assert left == []


def write_squares(folder: Path) -> tuple[Path, str]:
    """Six images with two bright squares on noise, and their labels."""
    (folder / "train").mkdir(parents=True)
    rng, marks = np.random.default_rng(2), list[dict[str, object]]()
    for i in range(6):
        image = rng.integers(60, 100, (60, 90, 3), dtype=np.uint8)
        for k, x in enumerate((8, 55)):
            y = int(rng.integers(5, 43))
            image[y : y + 12, x : x + 12] += 100
            mark = {"id": 2 * i + k, "image_id": i, "category_id": 1, "bbox": [x, y, 12, 12], "area": 144, "iscrowd": 0}
            marks.append(mark)
        Image.fromarray(image).save(folder / f"train/{i}.png")
    images = [{"id": i, "file_name": f"{i}.png", "width": 90, "height": 60} for i in range(6)]
    content = {"images": images, "categories": [{"id": 1, "name": "square"}], "annotations": marks}
    return folder / "train", save(folder, content)


def files(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns if path.is_file() else 0 for path in folder.rglob("*")}


def test_the_command_of_a_plan_runs(images: Path, recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, threads, state = files(images.parent), torch.get_num_threads(), torch.random.get_rng_state()
    words = ["plan", str(images), "--recipe", str(recipe), "--minutes", "0.05", "--set", "views.sizes=[64,64,32]"]
    assert main(words) == 0
    assert files(images.parent) == before, "nothing is left behind"
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.random.get_rng_state(), state)
    out, err = capsys.readouterr()
    assert "looking at: steps of" in err
    assert "12, 12 to train on" in out
    assert "views of 64 px, 4 images per step" in out
    assert "too little" in out
    assert out.index("better:") < out.index("run, if you still want to:")
    command = shlex.split(out.splitlines()[-1])
    args = build_parser("pretrain").parse_args(command[1:])
    loaded = load_recipe(args.recipe, args.settings)
    assert (args.images, args.out) == (str(images), Path("runs/my-photos"))
    assert args.minutes == 0.1, "the least there is"
    assert (loaded.engine.seed, loaded.method.name) == (3, "soco"), "the recipe's own, but for its schedule"
    # However busy the machine is: more steps than are timed.
    longer = ["--minutes", "90", "--set", "schedule.epochs=2", "--set", "schedule.warmup_epochs=0.1"]
    assert main([*command[1:], *longer]) == 0
    log = [json.loads(line) for line in Path("runs/my-photos/log.jsonl").read_text().splitlines()]
    (pace,) = (record for record in log if record["kind"] == "pace")
    assert pace["wanted"] == 800 * 12
    assert pace["outlook"] == "too little"
    told = capsys.readouterr()
    assert "caution: " in told.err
    texts = (out, told.err, told.out)
    assert [re.findall("time for ([0-9,]+) steps", text) for text in texts] == [["2,400"]] * 3, "800 x 12 images by 4"


def test_what_takes_long_is_described(images: Path, recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For the lines that are printed in silence, with ``--quiet`` too: without them it is "working" for minutes."""
    shown: list[str] = []

    def describing(real: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *words, **options: shown.append(pulse._doing[-1]()) or real(*words, **options)

    monkeypatch.setattr(sample, "_SECONDS", 1e9)  # however busy the machine is
    for where, name in (
        (planner, "open_images"), (sample, "decode"), (sample, "to_proposals"), (planner, "candidates"),
        (measuring, "with_precision"), (Run, "time_pace"),
    ):  # fmt: skip
        monkeypatch.setattr(where, name, describing(getattr(where, name)))
    words = ["plan", str(images), "--recipe", str(recipe), "--minutes", "0.05", "--set", "views.sizes=[64,64,32]"]
    assert main([*words, "--quiet"]) == 0
    assert list(dict.fromkeys(shown)) == [
        "looking at: the list of images",
        *(f"decoding: {n}/12 images at most" for n in range(1, 13)),
        "looking at: decoding a few images (1 of 2)",
        *(f"boxes of preset opencv-fast: {n}/9 images at most" for n in range(1, 10)),
        "choosing the precision",
        *(f"timing steps of 4 images at 64 px: {n}/3" for n in (1, 2, 3)),
    ]
    assert pulse._doing == []


def test_json_is_the_call_s_result(
    images: Path, recipe: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Plan] = []
    real = planner.plan
    monkeypatch.setattr(planner, "plan", lambda *a, **k: made.append(real(*a, **k)) or made[-1])
    assert main(["plan", str(images), "--recipe", str(recipe), "--out", "elsewhere/run", "--json", "--quiet"]) == 0
    out, err = capsys.readouterr()
    report = json.loads(out)
    assert "looking at" not in err
    assert report["command"] == made[0].command
    assert report["outlook"]["wanted"] == 800 * 12
    assert report["disk"]["needed"] == made[0].disk.needed
    assert "--out elsewhere/run" in report["command"]
    # Without a time limit: as long as it needs, with a reserve of 5 %.
    assert 1 <= report["outlook"]["share"] < 1.4
    assert made[0].measured
    assert made[0].precision == "fp32"


def test_labels_choose_the_boxes(images: Path, recipe: Path, tmp_path: Path) -> None:
    """Squares of a sixth of the image, which the paper's filter leaves out."""
    few, data = write_squares(tmp_path / "few")
    found = adept_training.plan(few, minutes=5, data=data, recipe=recipe, settings=["data.proposals=paper"])
    assert found.labels is not None
    assert (found.labels.images, found.labels.tuned.images) == (6, 6)
    rows = {" ".join(row.options): row for row in found.labels.tuned.rows}
    assert "--preset paper" in rows
    best = found.labels.tuned.rows[0]
    assert best.recall50 > 80 > rows["--preset paper"].recall50
    assert rows["--preset paper"].behind[0] > 0
    first, second = map(shlex.split, found.commands)
    assert first[:3] == ["adept", "proposals", str(few)]
    assert tuple(first[3:-2]) == ("--preset", "objects", "--boxes", "50"), (
        "bounds of size are no better, and more to type"
    )
    boxes = build_parser("proposals").parse_args(first[1:])
    assert build_parser("pretrain").parse_args(second[1:]).proposals == boxes.out
    text = "\n".join(as_lines(found))
    assert f"(a blind grid: {found.labels.tuned.grid50:.0f})" in text
    assert f"{best.recall50:5.1f}  {' '.join(best.options)}" in text
    for cores, words in ((1, "(CPU, 1 core)"), (2, "(CPU, 2 cores)")):
        machine = dataclasses.replace(found.machine, device="cpu", cores=cores)
        assert words in as_lines(dataclasses.replace(found, machine=machine))[1]


def test_mistakes(images: Path, tmp_path: Path) -> None:
    for minutes in (0, -3.0, math.nan, math.inf, 1_000_001):
        with pytest.raises(OptionValueError, match=f"minutes={minutes:g}".replace("+", r"\+")):
            adept_training.plan(images, minutes=minutes)
    with pytest.raises(OptionValueError, match="inside"):
        adept_training.plan(images, out=images / "run")
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "a.png").write_bytes(b"no image")
    with pytest.raises(ImagesError, match=r"None of 1 images can be read.*a\.png"):
        adept_training.plan(broken)


def test_data_that_do_not_exist(images: Path, recipe: Path) -> None:
    with pytest.raises(DataError):
        adept_training.plan(images, data="voc:nowhere", recipe=recipe, progress=lambda text: pytest.fail(text))


def test_a_step_that_does_not_fit(images: Path, recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planner, "this_machine", lambda: Machine("cpu", "a watch", 1, 100_000))
    assert main(["plan", str(images), "--recipe", str(recipe), "--quiet"]) == 1
