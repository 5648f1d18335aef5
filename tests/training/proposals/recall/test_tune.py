"""The comparison of settings on a handful of labeled images."""

import json
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from adept_hub.cli.main import main
from adept_hub.errors import ProposalsError
from adept_training.images import open_images
from adept_training.labels.datasets import open_data
from adept_training.proposals.recall import tune as module
from adept_training.proposals.recall.tune import settings, size_bounds, tune
from tests.training.labels.written import save

COUNT, SIDE, WIDTH, HEIGHT = 6, 12, 90, 60


@pytest.fixture(scope="module")
def parts(tmp_path_factory) -> tuple[Path, str]:
    """Images with two bright squares on noise, of two classes; the last one has no object."""
    folder = tmp_path_factory.mktemp("tune")
    (folder / "train").mkdir()
    rng = np.random.default_rng(2)
    annotations = []
    for i in range(COUNT + 1):
        image = rng.integers(60, 100, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        for k, x in enumerate((8, 55)) if i < COUNT else ():
            y = int(rng.integers(5, HEIGHT - SIDE - 5))
            image[y : y + SIDE, x : x + SIDE] += (90, 120)[k]
            annotations.append({"id": 2 * i + k, "image_id": i, "category_id": k + 1, "bbox": [x, y, SIDE, SIDE],
                                "area": SIDE**2, "iscrowd": 0})  # fmt: skip
        Image.fromarray(image).save(folder / f"train/{i}.png")
    content = {
        "images": [{"id": i, "file_name": f"{i}.png", "width": WIDTH, "height": HEIGHT} for i in range(COUNT + 1)],
        "categories": [{"id": 1, "name": "dark"}, {"id": 2, "name": "light"}],
        "annotations": annotations,
    }
    return folder / "train", save(folder, content)


@pytest.fixture(scope="module")
def compared(parts):
    images, spec = parts
    lines: list[str] = []
    return tune(open_images(images), open_data(spec).train, boxes=9, progress=lines.append), lines


def test_settings_are_compared_and_sorted(compared):
    """The paper's filter leaves out squares of a sixth of the image."""
    tuned, lines = compared
    assert (tuned.images, tuned.objects, len(tuned.rows)) == (COUNT, 2 * COUNT, 4)
    assert lines == [
        "--preset paper",
        "--preset fixed --min-scale 0.08",
        "--preset objects --boxes 9",
        "--preset objects --boxes 9 --sizes 16%..25%",
    ]
    rows = {" ".join(row.options): row for row in tuned.rows}
    assert set(rows) == set(lines)
    assert tuned.rows[0].recall50 > 90
    assert rows["--preset objects --boxes 9"].recall50 > 90
    assert rows["--preset objects --boxes 9"].boxes == 9
    assert rows["--preset paper"].recall50 == 0
    scores = [row.score for row in tuned.rows]
    assert scores == sorted(scores, reverse=True)
    assert all(row.score == (row.recall50 + row.recall70) / 2 for row in tuned.rows)


def test_the_lead_has_an_interval(compared):
    tuned, _ = compared
    low, lead, high = tuned.lead
    assert lead == tuned.rows[0].score - tuned.rows[1].score
    assert low <= lead <= high
    assert tuned.sure == (low > 0)
    assert replace(tuned, lead=(0.1, 1.0, 2.0)).sure
    assert not replace(tuned, lead=(0.0, 1.0, 2.0)).sure


def test_recall_of_resamples_by_hand():
    """Image 0 has one object of class 0, found; image 1 two of class 0, none found, and one of class 1, found."""
    totals, hits = np.array([[1.0, 0], [2, 1]]), np.array([[1.0, 0], [0, 1]])
    weight = np.array([[1.0, 1], [2, 0], [0, 2]])
    assert module._class_mean(weight, hits, totals) == pytest.approx([100 * (1 / 3 + 1) / 2, 100, 50])


def test_sizes_hold_the_objects_with_a_margin(parts):
    images = open_data(parts[1]).train.images[:COUNT]
    share = SIDE / HEIGHT  # 20 % of the shorter side
    assert size_bounds(images) == (pytest.approx(share / 1.25), pytest.approx(share * 1.25))


def test_bounds_come_from_the_other_half(parts, monkeypatch):
    seen = []
    monkeypatch.setattr(module, "size_bounds", lambda images: seen.append([one.file_name for one in images]) or (0, 9))
    images = open_data(parts[1]).train.images[:4]
    by_size = settings(images, open_images(parts[0]), 50)[-1]
    seen.clear()
    module._search(by_size, images, 50)
    assert seen == [["1.png", "3.png"], ["0.png", "2.png"]] * 2


def test_one_image_with_objects_is_too_few(parts):
    split = open_data(parts[1]).train
    few = split.subset([split.images[0].key, split.images[-1].key])
    with pytest.raises(ProposalsError, match="has 1 images with objects"):
        tune(open_images(parts[0]), few)


def test_the_command_prints_one_that_works(parts, tmp_path, capsys):
    images, spec = parts
    words = ["proposals", "tune", str(images), "--data", spec, "--boxes", "4", "--out", str(tmp_path / "out")]
    assert main(words) == 0
    output = capsys.readouterr()
    assert output.err.startswith("trying --preset paper\n")
    best = shlex.split(output.out.splitlines()[-1])
    report = json.loads((tmp_path / "out/tune.json").read_text())
    assert shlex.split(report["command"]) == best
    best[-1] = str(tmp_path / "boxes")
    assert main([*best[1:], "--workers", "1", "--quiet"]) == 0
    assert (tmp_path / "boxes/plan.json").is_file()
