"""What is cheap to check is checked before anything is searched, trained or written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import adept_training.proposals as proposals
from adept_hub.cli.main import main
from adept_hub.errors import ImagesError, RecipeError
from adept_training.pretraining.preflight import check_sizes
from adept_training.pretraining.recipe import load_recipe
from tests.training.support import write_photographs

IMAGES = 24


@pytest.fixture
def typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """``adept pretrain`` without --proposals: a search for boxes would be the first work, and here is a failure."""

    def search(*_: Any, **__: Any) -> None:
        pytest.fail("boxes were searched before the mistake was told")

    write_photographs(tmp_path / "photographs", IMAGES)
    monkeypatch.setattr(proposals, "run_proposals", search)
    words = ["pretrain", "--images", str(tmp_path / "photographs"), "--out", str(tmp_path / "run")]
    return lambda *more: main([*words, *map(str, more)])


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ((), "23 images do not fill one batch of 1024"),
        (("--recipe", "own_photos_cpu", "--method", "adept_separate"), "--init"),
        (("--recipe", "own_photos_cpu", "--set", "engine.precision=fp16"), "engine.precision=bf16"),
        (("--recipe", "own_photos_cpu", "--init", "no_such_name"), "adept list"),
        (("--recipe", "adept_joint_r50_1gpu", "--init", "adept_joint"), "--set model.depth=18"),
        (("--recipe", "own_photos_cpu", "--resume"), "without --resume"),
        (("--recipe", "own_photos_cpu", "--set", "engine.batchsize=2"), "batchsize"),
        (("--recipe", "own_photos_cpu", "--set", "export.tag=My Tag"), "export.tag"),
    ],
)
def test_before_boxes_are_searched(
    more: tuple[str, ...], told: str, typed: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed(*more) == 1
    error = capsys.readouterr().err
    assert told in error
    assert len(error.splitlines()) <= 3
    assert not (tmp_path / "run").exists(), "nothing was written"


def test_an_existing_run_is_told_of_before_boxes_are_searched(
    typed: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    (tmp_path / "run" / "checkpoints" / "step-00000004.pt").touch()
    assert typed("--recipe", "own_photos_cpu") == 1
    assert "already contains a run" in capsys.readouterr().err


def test_processes_share_a_batch(
    typed: Callable[..., int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "3")
    assert typed("--recipe", "own_photos_cpu") == 1
    assert "--set engine.batch_size=15" in capsys.readouterr().err


@pytest.mark.parametrize("images", [1, 2, 3, 5, 15, 16, 17, 63, 200, 1000])
@pytest.mark.parametrize("name", ["adept_joint_r50_100ep", "own_photos_cpu", "soco_r50_100ep"])
@pytest.mark.parametrize("processes", [1, 2])
def test_the_remedy_for_too_few_images_passes_the_same_check(images: int, name: str, processes: int) -> None:
    """The words of the message are followed; what they lead to must pass, or say that there are too few images."""
    recipe = load_recipe(name)
    if images >= recipe.engine.batch_size:
        return
    with pytest.raises(RecipeError) as caught:
        check_sizes(recipe, images, processes)
    first, remedy = str(caught.value).splitlines()
    assert str(images) in first
    if images < 2 * processes:
        assert f"give {2 * processes} images or more" in remedy
        return
    words = remedy.partition(": ")[2].split()
    options = dict(zip(words[::2], words[1::2], strict=True))
    settings = [options["--set"]] if "--set" in options else []
    followed = load_recipe(options.get("--recipe", name), settings, options.get("--method"))
    check_sizes(followed, images, processes)
    assert followed.method.name == recipe.method.name


def test_a_batch_of_no_images_is_refused() -> None:
    with pytest.raises(ImagesError, match="no images to train on"):
        check_sizes(load_recipe("adept_joint_r50_100ep"), 0, 1)
