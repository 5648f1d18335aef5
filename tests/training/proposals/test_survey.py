"""A run of ``objects``: sizes that recur over images; the same table from every engine and after an interruption."""

import itertools
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from adept_hub.errors import OutputExistsError
from adept_training.images import open_images
from adept_training.proposals import ProposalTable, get_preset, ray_engine, run_proposals, survey
from adept_training.proposals.objects.ranking import SIZE_BINS
from tests.training.proposals.test_run import content_of


def write_discs(folder: Path, count: int, side: int = 100) -> None:
    """Images with five discs of one size, 20 pixels of 100 (so 64 at 320), and noise."""
    folder.mkdir()
    rng = np.random.default_rng(1)
    for i in range(count):
        image = rng.integers(80, 120, (side, side, 3), dtype=np.uint8)
        for _ in range(5):
            cv2.circle(image, tuple(rng.integers(12, side - 12, 2).tolist()), 10, (200, 40, 90), -1)
        Image.fromarray(image).save(folder / f"{i:02d}.png")


@pytest.fixture(scope="module")
def discs(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("survey") / "discs"
    write_discs(folder, 26)
    (folder / "broken.png").write_bytes(b"x")
    return folder


@pytest.fixture(scope="module")
def table(discs, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("table") / "boxes"
    run_proposals(discs, out, "objects", workers=1, shard_size=9)
    return out


def test_the_recurring_size_is_found_and_recorded(table):
    prior = ProposalTable.open(table).metadata["preset"]["objects"]["size_prior"]
    at = int(np.argmax(prior))
    assert np.exp(SIZE_BINS[at]) <= 64 * 1.1
    assert np.exp(SIZE_BINS[at + 1]) >= 64 * 0.9
    assert prior[at] > 0.5


def test_best_boxes_come_first_and_are_at_most_two_hundred(table):
    opened = ProposalTable.open(table)
    assert len(opened) == 26
    sizes = [np.sqrt(np.prod(box[2:] - box[:2])) for key in opened for box in opened.boxes(key)[:2]]
    assert 15 <= np.median(sizes) <= 26
    assert max(len(opened.boxes(key)) for key in opened) <= 200


def test_an_interrupted_run_keeps_its_prior_without_another_survey(discs, table, tmp_path, monkeypatch):
    again = tmp_path / "again"
    again.mkdir()
    for name, content in content_of(table).items():
        if name != "part-00001.parquet":
            (again / name).write_bytes(content)
    monkeypatch.setattr(survey, "survey", None)
    report = run_proposals(discs, again, "objects", workers=1, shard_size=9)
    assert report.resumed_shards == 2
    assert content_of(again) == content_of(table)


def test_other_settings_are_refused(discs, table):
    from dataclasses import replace

    preset = get_preset("objects")
    with pytest.raises(OutputExistsError, match="preset"):
        run_proposals(discs, table, replace(preset, objects=replace(preset.objects, most=5)), workers=1, shard_size=9)


@pytest.mark.slow
def test_two_workers_give_the_same_table(discs, table, tmp_path):
    run_proposals(discs, tmp_path / "two", "objects", workers=2, shard_size=9)
    assert content_of(tmp_path / "two") == content_of(table)


def test_ray_gives_the_same_table(discs, table, tmp_path, monkeypatch):
    """Ray's scheduling is tested in test_ray.py; here, that the survey and the search both go there."""
    went = itertools.count()

    def run_on_ray(work, tasks):
        next(went)
        return (work(task) for task in tasks)

    monkeypatch.setattr(ray_engine, "run_on_ray", run_on_ray)
    run_proposals(discs, tmp_path / "ray", "objects", engine="ray", shard_size=9)
    assert next(went) == 2
    assert content_of(tmp_path / "ray") == content_of(table)


def test_few_images_prove_no_size(discs, tmp_path):
    source = open_images(discs)
    few = source.subset(source.keys()[:23])
    preset = survey.with_size_prior(get_preset("objects"), few, tmp_path, "local", 1)
    assert preset == get_preset("objects")


def test_other_presets_are_left_alone(discs, tmp_path):
    assert survey.with_size_prior(get_preset("fixed"), open_images(discs), tmp_path, "local", 1) == get_preset("fixed")
