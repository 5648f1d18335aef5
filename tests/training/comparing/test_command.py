"""The printed command of a comparison is one that a machine without a GPU can finish."""

from __future__ import annotations

import shlex

import pytest
import torch

from adept_training.comparing.command import SMALL, compare_command
from adept_training.finetuning.recipe import load_finetune_recipe
from tests.printed import fault_of


@pytest.mark.parametrize("gpu", [False, True])
def test_a_cpu_gets_a_short_comparison(gpu: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    command = compare_command("runs/my run", "out")
    words = ["adept", "compare", "scratch", "runs/my run", "--data", "DATA", *(() if gpu else SMALL), "--out", "out"]
    assert shlex.split(command) == words
    assert not fault_of(command.replace("DATA", "voc:DIR"))


def test_the_short_recipe_exists() -> None:
    assert load_finetune_recipe(SMALL[1]).detector.test_side < load_finetune_recipe(None).detector.test_side
