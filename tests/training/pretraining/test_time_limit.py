"""A run with a time limit goes through its whole schedule in the time that it has, step by step, by a made-up clock."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from adept_training.pretraining.asked import Asked
from adept_training.pretraining.pretrain import pretrain
from adept_training.pretraining.run import Run
from tests.training.support import RandomBoxes, tiny, write_photographs


def test_rate_and_momentum_follow_the_share_of_the_time_that_has_passed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each step takes 0.375 s of 3 s: eight of 30,000 steps, the k-th at place 3,750 k of the schedule."""
    monkeypatch.setattr(Run, "seconds", lambda run: 0.375 * run.progress.step)
    source = write_photographs(tmp_path / "photographs", 12)
    settings = (
        "engine.max_minutes=0.05", "schedule.epochs=10000", "schedule.warmup_epochs=1500", "schedule.warmup_start=0.2",
        "schedule.final_lr=0.004", "optimizer.name=sgd", "optimizer.lr=0.01", "optimizer.rpn_lr=null",
        "optimizer.lr_scaling=none", "method.momentum=0.9",
    )  # fmt: skip
    outcome = pretrain(tiny(*settings), source, RandomBoxes(), tmp_path / "run", asked=Asked(report=False))
    assert (outcome.steps, outcome.planned_steps, outcome.interrupted) == (8, 30_000, False)
    records = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    train = [record for record in records if record["kind"] == "train"]
    places = [3750 * k for k in range(8)]
    assert [r["momentum"] for r in train] == pytest.approx(
        [1 - 0.1 * (1 + math.cos(math.pi * place / 30_000)) / 2 for place in places], abs=1e-5
    )
    warm = [0.01 * (0.2 + 0.8 * place / 4500) for place in places[:2]]
    cosine = [0.004 + 0.006 * (1 + math.cos(math.pi * (place - 4500) / 25_500)) / 2 for place in places[2:]]
    assert [r["lr"] for r in train] == pytest.approx(warm + cosine, rel=1e-4)
    assert [r["step"] for r in train] == list(range(1, 9))
    # A resumed run has the rest of its time, not all of it again.
    assert torch.load(tmp_path / "run" / "checkpoints" / "step-00000008.pt")["seconds"] == 3.0
