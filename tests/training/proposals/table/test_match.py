"""A table is compared with the photographs that it meets: sides, contents, names."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from adept_hub.cli.main import main
from adept_hub.errors import OutputExistsError, ProposalsError
from adept_training.data.loader import Samples
from adept_training.images import open_images
from adept_training.pretraining.pretrain import pretrain
from adept_training.pretraining.watch.probe import load_held_out
from adept_training.proposals import ProposalTable, run_proposals
from adept_training.proposals.table.match import compare, matching_keys
from tests.training.support import tiny

COUNT = 7


def write(folder: Path, count: int = COUNT, seed: int = 0) -> None:
    folder.mkdir(exist_ok=True)
    for i in range(count):
        coarse = Image.fromarray(np.random.default_rng(seed + i).integers(0, 256, (5, 7, 3), np.uint8))
        coarse.resize((90, 60 + i), Image.Resampling.BICUBIC).save(folder / f"{i}.png")


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("match")
    write(folder / "photos")
    run_proposals(folder / "photos", folder / "table", workers=1, shard_size=3)
    shutil.copytree(folder / "photos", folder / "shrunk")
    for path in (folder / "shrunk").iterdir():
        image = Image.open(path)
        image.resize((image.width // 2, image.height // 2)).save(path)
    shutil.copytree(folder / "photos", folder / "resaved")
    for name in ("2.png", "5.png"):  # the same sides, other pixels
        pixels = np.asarray(Image.open(folder / "resaved" / name)) ^ 1
        Image.fromarray(pixels).save(folder / "resaved" / name)
    shutil.copytree(folder / "photos", folder / "added")
    write(folder / "added", 2 * COUNT)
    return folder


def refusal(made: Path, name: str, run: Path) -> str:
    source, table = open_images(made / name), ProposalTable.open(made / "table")
    with pytest.raises(ProposalsError) as caught:
        pretrain(tiny(), source, table, run)
    assert not run.exists() or not list(run.iterdir())  # before anything
    assert len(str(caught.value).splitlines()) <= 3
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("shrunk", "7 of 7 images have other contents, 7 of them other sides; the first: 0.png"),
        ("resaved", "2 of 7 images have other contents; the first: 2.png"),
        ("added", "7 of 14 images have no proposals in"),
    ],
)
def test_pretraining_on_other_images_is_refused_before_it_starts(made, tmp_path, name, message) -> None:
    told = refusal(made, name, tmp_path / "run")
    assert message in told
    assert told.splitlines()[-1].strip().startswith("adept proposals IMAGES --out ")


def test_the_command_that_the_refusal_prints_works(made, tmp_path, capsys) -> None:
    words = ["pretrain", "--images", str(made / "shrunk"), "--proposals", str(made / "table"), "--method",
             "adept_joint", "--out", str(tmp_path / "run"), "--set", "engine.batch_size=2"]  # fmt: skip
    assert main(words) == 1
    command = capsys.readouterr().err.splitlines()[-1].split()
    assert main([*command[1:], "--workers", "1"]) == 0
    remade = ProposalTable.open(command[-1])
    assert matching_keys(remade, open_images(made / "shrunk")) == [f"{i}.png" for i in range(COUNT)]


def test_the_same_images_elsewhere_and_fewer_of_them_are_theirs(made, tmp_path) -> None:
    table = ProposalTable.open(made / "table")
    shutil.copytree(made / "photos", tmp_path / "moved")
    (tmp_path / "moved" / "3.png").unlink()
    assert matching_keys(table, open_images(tmp_path / "moved")) == [f"{i}.png" for i in (0, 1, 2, 4, 5, 6)]


def test_unreadable_images_are_left_out_of_training(tmp_path) -> None:
    write(tmp_path / "photos")
    (tmp_path / "photos" / "broken.jpg").write_bytes(b"x")
    Path(os.fsdecode(os.fsencode(tmp_path / "photos") + b"/caf\xe9.png")).write_bytes(
        (tmp_path / "photos" / "0.png").read_bytes()
    )
    report = run_proposals(tmp_path / "photos", tmp_path / "table", workers=1)
    assert (report.images, report.unreadable) == (COUNT, 2)
    listed = [json.loads(line) for line in report.unreadable_report.read_text(encoding="ascii").splitlines()]
    assert [row["key"] for row in listed] == ["broken.jpg", "caf\udce9.png"]
    assert "not UTF-8" in listed[1]["reason"]
    table, source = ProposalTable.open(tmp_path / "table"), open_images(tmp_path / "photos")
    assert "caf\udce9.png" not in table
    assert matching_keys(table, source) == [f"{i}.png" for i in range(COUNT)]
    settings = ("schedule.epochs=1", "schedule.warmup_epochs=0")
    assert pretrain(tiny(*settings), source, table, tmp_path / "run").steps == 1


def test_the_command_survives_a_name_that_is_not_utf8(tmp_path, capsys) -> None:
    write(tmp_path / "photos", 2)
    Path(os.fsdecode(os.fsencode(tmp_path / "photos") + b"/\xff.png")).write_bytes(b"x")
    assert main(["proposals", str(tmp_path / "photos"), "--out", str(tmp_path / "t"), "--workers", "1"]) == 0
    assert "1 unreadable images" in capsys.readouterr().out
    assert (
        main(["proposals", str(tmp_path / "photos"), "--out", str(tmp_path / "s"), "--workers", "1", "--strict"]) == 1
    )


def test_other_sides_are_found_while_loading_too(made) -> None:
    """Where more images were there than the comparison has time for."""
    table, source, recipe = ProposalTable.open(made / "table"), open_images(made / "shrunk"), tiny()
    samples = Samples(source, table, tuple(source.keys()), recipe.views, recipe.colors, 0)
    with pytest.raises(ProposalsError, match=r"has 45 x 31 pixels; its proposals .* of 90 x 62"):
        samples[(0, 2)]
    with pytest.raises(ProposalsError, match="45 x 30 pixels"):
        load_held_out(source, table, ["0.png"], 64, 0)


def test_a_comparison_ends_in_time_and_still_looks_at_some(made) -> None:
    table, source = ProposalTable.open(made / "table"), open_images(made / "shrunk")
    found = compare(source, source.keys(), table.sha256, table.size, seconds=0, least=3)
    assert (found.looked, found.differing, found.other_sides) == (3, 3, 3)
    found = compare(source, source.keys(), table.sha256, table.size, seconds=60, least=3)
    assert (found.looked, found.differing) == (COUNT, COUNT)


def test_images_that_cannot_be_read_are_passed_over(made, tmp_path) -> None:
    shutil.copytree(made / "shrunk", tmp_path / "photos")
    table, source = ProposalTable.open(made / "table"), open_images(tmp_path / "photos")
    (tmp_path / "photos" / "3.png").unlink()
    (tmp_path / "photos" / "5.png").write_bytes(b"no PNG")
    found = compare(source, source.keys(), table.sha256, table.size)
    assert (found.looked, found.differing, found.other_sides, found.first) == (COUNT - 2, COUNT - 2, COUNT - 2, "0.png")


def test_a_finished_table_is_not_taken_for_that_of_changed_images(made, tmp_path) -> None:
    shutil.copytree(made / "photos", tmp_path / "photos")
    run_proposals(tmp_path / "photos", tmp_path / "table", workers=1, shard_size=3)
    again = run_proposals(tmp_path / "photos", tmp_path / "table", workers=1, shard_size=3)
    assert again.resumed_shards == 3
    shutil.rmtree(tmp_path / "photos")
    shutil.copytree(made / "resaved", tmp_path / "photos")
    with pytest.raises(OutputExistsError, match=r"changed since: 2 of 7 images .*2\.png"):
        run_proposals(tmp_path / "photos", tmp_path / "table", workers=1, shard_size=3)
