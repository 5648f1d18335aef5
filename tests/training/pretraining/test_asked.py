"""The commands to type next, word for word, of a run that was asked for with every option and of one with none."""

from __future__ import annotations

import shlex
from pathlib import Path

from adept_training.pretraining.asked import Asked, next_commands

ALL = Asked("my photos", "a table", "hf-hub:me/it", ("wandb", "mlflow"), preview=True, report=False)


def test_a_run_is_continued_with_the_words_that_it_was_started_with() -> None:
    assert shlex.split(ALL.resume(Path("a run"), "--minutes", "9")) == [
        "adept", "pretrain", "--images", "my photos", "--out", "a run", "--proposals", "a table", "--init",
        "hf-hub:me/it", "--track", "wandb", "--track", "mlflow", "--minutes", "9", "--resume",
    ]  # fmt: skip
    assert Asked().resume(Path("r")) == "adept pretrain --images IMAGES --out r --resume"


def test_another_run_takes_the_proposals_of_the_first(tmp_path: Path) -> None:
    run, other = tmp_path / "r", tmp_path / "r-2"
    (run / "proposals").mkdir(parents=True)
    recipe = ["--recipe", str(run / "recipe.yaml"), "--set", "a.b=[1, 2]", "--set", "c=3"]
    words = ["adept", "pretrain", "--images", "IMAGES", "--out", str(other)]
    assert shlex.split(Asked().again(run, ["a.b=[1, 2]", "c=3"])) == [
        *words, "--proposals", str(run / "proposals"), *recipe,
    ]  # fmt: skip
    # A table of the user's own comes before the one that the run made; and none where there is none.
    given = Asked(proposals="a table")
    assert shlex.split(given.again(run, ["a.b=[1, 2]", "c=3"])) == [*words, "--proposals", "a table", *recipe]
    (run / "proposals").rmdir()
    assert shlex.split(given.again(run, ["a.b=[1, 2]", "c=3"])) == [*words, "--proposals", "a table", *recipe]
    assert shlex.split(Asked().again(run, ["a.b=[1, 2]", "c=3"])) == [*words, *recipe]


def test_weights_of_no_stated_license_are_pushed_with_one() -> None:
    export, finetune, push = next_commands(Path("a run"), "mit")
    assert shlex.split(export) == [
        "adept", "export", "a run/export", "--to", "detectron2", "--out", "a run/detectron2"
    ]  # fmt: skip
    assert shlex.split(finetune) == [
        "adept", "finetune", "a run/export", "--data", "DATA", "--out", "a run/finetune"
    ]  # fmt: skip
    assert shlex.split(push) == ["adept", "push", "a run/export", "ORG/NAME"]
    unstated = next_commands(Path("a run"), "unstated")
    assert unstated == [export, finetune, f"{push} --license apache-2.0"]
