"""Readers of recipes, proposal tables and runs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from torch import nn

from adept_hub.errors import DataError, NotARunError, ProposalsError, RecipeError, ResumeError, TrackerError
from adept_hub.spec import Preprocessing
from adept_training.comparing.runs import _finished
from adept_training.finetuning.history import read_history
from adept_training.finetuning.origin import FinetuneStart, check_resumed
from adept_training.finetuning.recipe import load_finetune_recipe
from adept_training.pretraining.origin import recorded_origin
from adept_training.pretraining.recipe import load_recipe
from adept_training.pretraining.watch.log import read_log
from adept_training.pretraining.watch.outcome import read_outcome
from adept_training.proposals.search.presets import get_preset
from adept_training.proposals.table.shards import (
    ProposalRow,
    TablePlan,
    keys_digest,
    read_shard,
    shard_note,
    write_shard,
)
from adept_training.proposals.table.store import ProposalTable
from adept_training.runtime.journal import Journal
from adept_training.runtime.state import TrainingProgress, load_state, save_state
from adept_training.runtime.trackers import _known
from tests.io.reader import CONTENT, EVERYTHING, Reader, text

PLAN = TablePlan(1, 1, keys_digest(["a"]), get_preset("paper").as_dict(), {"name": "test"}, "test")
BOXES = np.array([[1, 2, 30, 20]], np.float32)
INDEX = [f"index/{name}" for name in ("fingerprint", "boxes_B4.npy", "keys.npy")]
START = {"kind": "start", "time": 1.0, "step": 0, "steps": 9, "images": 12, "held_out": 0, "resumed": False}


def make_table(folder: Path) -> None:
    (folder / "plan.json").write_text(PLAN.as_json())
    write_shard(folder, PLAN, 0, [ProposalRow("a", 64, 48, BOXES, False, bytes(32))], [])


def make_index(folder: Path) -> None:
    make_table(folder)
    ProposalTable.open(folder)


def read_table(folder: Path) -> None:
    np.testing.assert_array_equal(ProposalTable.open(folder).boxes("a"), BOXES)


def read_part(folder: Path) -> object:
    shard_note(folder, PLAN, 0)
    return read_shard(folder, PLAN, 0)


def model() -> tuple[nn.Module, torch.optim.Optimizer]:
    made = nn.Linear(3, 2)
    return made, torch.optim.SGD(made.parameters(), 0.1)


def state(name: str) -> Reader:
    def make(folder: Path) -> None:
        save_state(folder, *model(), TrainingProgress(3), {}, keep=1)

    return Reader(name, make, lambda folder: load_state(folder, *model(), {}), ResumeError, "binary")


READERS: dict[str, Reader] = {
    "recipe": Reader("r.yaml", text("r.yaml", "schedule:\n  epochs: 70\n"), lambda f: load_recipe(f / "r.yaml"),
                     RecipeError, "yaml"),
    "recipe of fine-tuning": Reader("r.yaml", text("r.yaml", "schedule:\n  iterations: 7\n"),
                                    lambda f: load_finetune_recipe(f / "r.yaml"), RecipeError, "yaml"),
    "plan of a table": Reader("plan.json", make_table, read_table, ProposalsError),
    "part of a table": Reader("part-00000.parquet", make_table, read_table, ProposalsError, "binary"),
    "part alone": Reader("part-00000.parquet", make_table, read_part, ProposalsError, "binary"),
    **{name: Reader(name, make_index, read_table, ProposalsError, "binary", calm=EVERYTHING) for name in INDEX},
    "log": Reader("log.jsonl", text("log.jsonl", json.dumps(START)), read_log, NotARunError),
    "log that is continued": Reader("log.jsonl", text("log.jsonl", json.dumps(START)),
                                    lambda f: Journal(f / "log.jsonl", None).close(), ResumeError,
                                    calm=("missing", "huge", *CONTENT)),
    "start": Reader("start.json", text("start.json", '{"license": "mit"}'), recorded_origin, ResumeError,
                    calm=("missing",)),
    "outcome": Reader("run.json", text("run.json", '{"state": "done"}'), read_outcome, ResumeError, calm=EVERYTHING),
    "trackers": Reader("trackers.json", text("trackers.json", '{"wandb": "x1"}'), lambda f: _known(f, "wandb"),
                       TrackerError, calm=("missing",)),
    "state": state("step-00000003.pt"),
    "digest of a state": state("step-00000003.pt.sha256"),
    "run": Reader("run.json", text("run.json", '{"starts": []}'),
                  lambda f: check_resumed(FinetuneStart(None, None, Preprocessing()), f), ResumeError,
                  calm=("missing", "surrogate")),
    "evaluations": Reader("evaluations.json", text("evaluations.json", "[[3, 1.5]]"), lambda f: read_history(f, 9),
                          ResumeError, calm=EVERYTHING),
    "finished runs": Reader("runs.jsonl", text("runs.jsonl", "{}"), lambda f: _finished(f, "x"), DataError,
                            calm=("missing", *CONTENT)),
}  # fmt: skip
