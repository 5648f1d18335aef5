"""Runs from a cache: resumed bit for bit, from the file that the interrupted run left, which goes with the run."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

import adept_training.pretraining.pretrain as module
from adept_hub.errors import RecipeError, ResumeError
from adept_training.pretraining.preflight import check_run
from tests.training.pretraining.test_pretrain import _kill_at, _run, _same, _state
from tests.training.support import tiny, write_photographs

CACHED = ("data.cache=true", "schedule.epochs=1")


def test_a_cached_run_resumes_bit_for_bit_from_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_photographs(tmp_path / "images", 8)
    _run(source, tmp_path / "whole", *CACHED)
    assert not (tmp_path / "whole" / "cache").exists(), "a run that has finished removes it"
    _run(source, tmp_path / "other", *CACHED[1:])
    assert not _same(_state(tmp_path / "whole")["model"], _state(tmp_path / "other")["model"])
    with monkeypatch.context() as patch:
        _kill_at(patch, 1, signal.SIGTERM)
        assert _run(source, tmp_path / "r", *CACHED).interrupted
    assert (tmp_path / "r" / "cache" / "squares.bin").is_file()
    with pytest.raises(ResumeError):
        _run(source, tmp_path / "r", *CACHED[1:], resume=True)

    def never(*_: Any) -> None:
        raise AssertionError("the images were decoded again")

    with monkeypatch.context() as patch:
        patch.setattr(module, "write_cache", never)
        _run(source, tmp_path / "r", *CACHED, resume=True)
    assert _same(_state(tmp_path / "r")["model"], _state(tmp_path / "whole")["model"])


def test_a_cache_above_its_limit_is_refused_before_proposals_are_searched(tmp_path: Path) -> None:
    source = write_photographs(tmp_path / "images", 12)
    recipe = tiny(*CACHED, "data.cache_gb=0.0001")
    with pytest.raises(RecipeError, match=r"data.cache_gb=1(.|\n)*data.cache=false"):
        check_run(recipe, source.keys(), tmp_path / "r", init=None, resume=False)
    check_run(tiny("data.cache_gb=0.0001"), source.keys(), tmp_path / "r", init=None, resume=False)
