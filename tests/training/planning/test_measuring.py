"""Which candidate is timed with how many images, and in what precision: with a table instead of a clock."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from adept_training.planning.choose import Candidate
from adept_training.planning.probing import measuring as module
from adept_training.planning.probing.machine import Machine
from adept_training.planning.probing.measuring import Measuring, images_to_time
from adept_training.pretraining.recipe import load_recipe


def candidate(*settings: str) -> Candidate:
    words = ("engine.batch_size=16", "engine.precision=auto", *settings)
    return Candidate("by hand", words, load_recipe(None, words))


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The images of every timed step; a step takes half a second per image, scaled to a batch of 16."""
    found: list[int] = []
    monkeypatch.setattr(module, "time_steps", lambda recipe, sample, table, machine, n: found.append(n) or 8.0)
    monkeypatch.setattr(module, "with_precision", lambda recipe, chosen: (recipe, chosen or "bf16"))
    monkeypatch.setattr(module, "search_sample", lambda sample, preset: None)
    monkeypatch.setattr(module, "boxes_of", lambda sample, search: None)
    return found


def measuring(device: str) -> Measuring:
    nothing: Any = SimpleNamespace()
    return Measuring(nothing, Machine(device, "", 2, 1), lambda _: None, lambda: 5.0, 4.0)  # type: ignore[arg-type]


def test_a_step_that_takes_long_is_timed_with_fewer_images() -> None:
    assert images_to_time(16, 1.0) == 16
    assert images_to_time(16, 6.0) == 8
    assert images_to_time(16, 600.0) == 2, "a batch norm needs two"


def test_on_a_cpu_a_few_images_come_first(timed: list[int]) -> None:
    one = measuring("cpu")
    assert one.is_over(), "5 is after 4"
    assert one.time_steps(candidate(), None) == 8.0
    assert timed == [4, 6], "four tell that a step takes 8 s: six of the images take three"
    one.time_steps(candidate(), 48.0)
    assert timed == [4, 6, 2]


def test_on_a_gpu_the_whole_batch_is_timed(timed: list[int]) -> None:
    measuring("cuda").time_steps(candidate(), None)
    assert timed == [16]


def test_the_precision_is_that_of_the_timed_steps(timed: list[int]) -> None:
    one = measuring("cuda")
    assert one.precision(candidate()) == "auto"
    one.time_steps(candidate(), None)
    assert one.precision(candidate()) == "bf16"
    assert one.precision(candidate("engine.seed=9")) == "bf16", "not timed itself, but resolved alike"
    assert one.precision(candidate("engine.precision=fp32")) == "fp32"
