"""Each kind of source, and a run whose boxes or images are gone."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from adept_training.calls.pretraining import pretrain
from adept_training.studio.answers import Answers
from adept_training.studio.image_sets import open_sets
from adept_training.studio.overview import start_document
from adept_training.studio.sources import open_source
from tests.training.support import TINY


@pytest.fixture
def run(boxes: Path, folder: Path, tmp_path: Path, one_thread: None) -> Path:
    """A pre-training run of one step whose boxes have other keys than its images: named by them here."""
    named = tmp_path / "elsewhere"
    named.mkdir()
    listed = tmp_path / "images.txt"
    for at, path in enumerate(sorted(folder.iterdir())[:-1]):
        shutil.copy(path, named / str(at))
    listed.write_text("".join(f"elsewhere/{at}\n" for at in range(29)))
    settings = [*TINY, "schedule.epochs=0.15", "schedule.warmup_epochs=0", "engine.seed=3"]
    pretrain(listed, tmp_path / "run", proposals=boxes, settings=settings, device="cpu")
    return tmp_path / "run"


def test_kinds(
    run: Path, tuned: Path, boxes: Path, comparison: Path, make_checkpoint: Callable[..., Any], tmp_path: Path
) -> None:
    weights = make_checkpoint(folder=tmp_path / "weights")[0]
    opened = [open_source(str(path)) for path in (run, tuned, tuned / "best", boxes, comparison, weights)]
    assert [(one.name, one.kind) for one in opened] == [
        ("run", "pre-training run"), ("tuned", "fine-tuned detector"), ("tuned", "fine-tuned detector"),
        ("boxes", "proposals"), ("compared", "comparison"), ("weights", "weights"),
    ]  # fmt: skip
    first = opened[0]
    assert first.notes == ()
    assert (first.images, first.table is not None) == (str(tmp_path / "images.txt"), True)
    assert first.recipe is not None
    assert (first.recipe.views.sizes, first.recipe.engine.seed) == ((64, 64, 32), 3)
    answers = Answers((first,), open_sets((first,), None, None))
    assert set(start_document(answers)["empty"]) == {"errors", "runs"}
    assert answers.answer("/api/views/0/2/0/1.json").status == 200


def test_a_run_of_which_something_is_gone(run: Path, boxes: Path, tmp_path: Path) -> None:
    recipe = run / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("optimizer:", "optimizer:\n  of_another_version: 1"))
    assert open_source(str(run)).recipe is not None, "views do not depend on the optimizer"
    (tmp_path / "images.txt").unlink()
    boxes.rename(tmp_path / "moved")
    shutil.rmtree(run / "export")
    one = open_source(str(run))
    assert (one.images, one.table, one.config) == (None, None, None)
    assert [note.split(" ")[-1] for note in one.notes] == ["ended.", "--images.", "DIR"]
    answers = Answers((one,), open_sets((one,), None, None))
    assert set(start_document(answers)["empty"]) == {
        "proposals", "views", "objectness", "predictions", "errors", "runs",
    }  # fmt: skip
    assert answers.sets[0].name == "bundled images"


def test_a_table_of_other_images_is_not_that_of_the_run(run: Path, boxes: Path) -> None:
    plan = boxes / "plan.json"
    digest = open_source(str(boxes)).table.metadata["keys_sha256"]
    config = run / "export" / "config.json"
    config.write_text(config.read_text().replace(digest, "0" * 64))
    one = open_source(str(run))
    assert plan.is_file()
    assert one.table is None
    assert "is another table than the run of run used" in one.notes[-1]
