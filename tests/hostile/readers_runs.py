"""The trainer's readers of what it wrote itself, and others may have changed: proposals, logs, states, detectors."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image
from torch import nn

from adept_hub.detectors.build import predictor_state
from adept_hub.detectors.files import check_detector, read_detector_json, read_predictors
from adept_hub.detectors.folder import DetectorConfig
from adept_hub.errors import CheckpointError, DataError, NotARunError, OutputExistsError, ProposalsError, ResumeError
from adept_hub.io.digest import sha256_file
from adept_hub.io.schema import from_dict
from adept_hub.spec import DetectorSpec, Preprocessing, Start
from adept_training.comparing.runs import RunResult, _finished
from adept_training.finetuning.detector import build_detector, save_detector
from adept_training.finetuning.history import read_history
from adept_training.finetuning.origin import FinetuneStart, check_resumed
from adept_training.finetuning.recipe import load_finetune_recipe
from adept_training.pretraining.optim import LARS
from adept_training.pretraining.origin import PretrainStart, record_origin, recorded_origin
from adept_training.pretraining.watch.log import read_log
from adept_training.pretraining.watch.outcome import has_finished, read_outcome
from adept_training.pretraining.watch.report import figures, write_report
from adept_training.proposals import ProposalTable, get_preset
from adept_training.proposals.table.shards import (
    ProposalRow,
    TablePlan,
    Unreadable,
    keys_digest,
    write_atomically,
    write_shard,
)
from adept_training.runtime.state import TrainingProgress, load_state, save_state, saved_states
from tests.hostile.mutate import VALUES, Choose, mutate_bytes, mutate_json, mutate_lines, mutate_safetensors
from tests.hostile.property import IRREGULAR, Reader
from tests.training.conftest import TINY
from tests.training.support import tiny

Make = Callable[[Path], None]


# --- proposals -----------------------------------------------------------------------------------------------------

KEYS = ["a.png", "b.png", "c.png"]
BOXES = np.array([[1, 2, 30, 20], [0, 0, 64, 48]], np.float32)


def make_table(folder: Path) -> None:
    keys, preset = keys_digest([*KEYS, "d.png"]), get_preset("paper").as_dict()
    plan = TablePlan(4, 2, keys, preset, engine={"name": "test"}, decoder="test")
    rows = [ProposalRow(key, 64, 48, BOXES, False, bytes([i] * 32)) for i, key in enumerate(KEYS)]
    write_atomically(folder / "plan.json", plan.as_json().encode())
    write_shard(folder, plan, 0, rows[:2], [])
    write_shard(folder, plan, 1, rows[2:], [Unreadable("d.png", "damaged")])
    ProposalTable.open(folder)


def read_table(folder: Path) -> None:
    table = ProposalTable.open(folder)
    for key in table.keys()[:50]:
        boxes, (width, height) = table.boxes(key), table.size(key)
        assert np.isfinite(boxes).all(), "a box that is not finite"
        assert (boxes <= np.array([width, height] * 2) + 0.5).all(), "a box outside"
        assert len(table.sha256(key)) == 32
    table.unreadable()
    json.dumps(table.metadata)


def mutate_parquet(content: bytes, choose: Choose) -> tuple[str, bytes]:
    """Another column, type, value or note in a table; or its bytes."""
    kind = choose(["bytes", "bytes", "drop", "rename", "retype", "null", "rows", "note", "boxes"])
    if kind == "bytes":
        return mutate_bytes(content, choose)
    table = pq.read_table(io.BytesIO(content))
    at = choose(range(table.num_columns))
    name = table.column_names[at]
    metadata = dict(table.schema.metadata or {})
    if kind == "drop":
        table = table.drop_columns([name])
    elif kind == "rename":
        other = choose(["x", "key", *table.column_names])
        table = table.rename_columns([other if one == name else one for one in table.column_names])
    elif kind == "null":
        nothing = pa.nulls(len(table), table.schema.types[at])
        table = table.set_column(at, table.schema.field(at).with_nullable(True), nothing)
    elif kind == "retype":
        table = table.set_column(at, name, pa.array([choose(["x", b"\xff", 1.5, -(2**31), [1, 2]])] * len(table)))
    elif kind == "rows":
        table = choose([table.slice(0, 0), table.slice(0, 1), pa.concat_tables([table, table])])
    elif kind == "note":
        for key in list(metadata):
            metadata[key] = (
                mutate_json(metadata[key], choose)[1] if metadata[key][:1] == b"{" else choose([b"", b"\xff"])
            )
    else:
        at = table.column_names.index("boxes")
        value = choose(
            [[[1.0, 2.0, float("nan"), 4.0]], [[1e38] * 4], [[]], [], [[5.0, 5.0, 1.0, 1.0]], [[-9.0, 0, 5, 5]]]
        )
        if value != [[]]:
            table = table.set_column(at, table.schema.field(at), pa.array([value] * len(table), table.schema.types[at]))
    sink = io.BytesIO()
    pq.write_table(table.replace_schema_metadata(metadata), sink)
    return f"{kind} {name}", sink.getvalue()


# --- runs ----------------------------------------------------------------------------------------------------------


def make_run(folder: Path) -> None:
    start = {"kind": "start", "time": 1.0, "step": 0, "steps": 9, "images": 12, "held_out": 2, "resumed": False,
             "asked": {"images": "IMAGES", "proposals": None, "init": None, "trackers": [], "preview": True,
                       "report": True}}  # fmt: skip
    records: list[dict[str, Any]] = [start]
    for step in range(1, 10):
        records.append({"kind": "train", "step": step, "loss": 3.0 / step, "lr": 0.5, "data_wait": 0.2, "epoch": step})
        if step in (1, 9):
            records.append({"kind": "probe", "step": step, "target_recall100_iou50": 0.25 + step / 100})
            records.append({"kind": "proposals", "step": step, "boxes": [[[32.0, 32.0, 56.0, 48.0]], []]})
    records.append({"kind": "end", "step": 9, "seconds": 61.0, "interrupted": False})
    (folder / "log.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    (folder / "recipe.yaml").write_text(tiny().to_yaml())
    Image.new("RGB", (30, 20), "#123456").save(folder / "preview.png")
    (folder / "evaluations.json").write_text(json.dumps([[10, 41.5], [20, None]]))
    outcome = {"state": "done", "steps": 9, "planned_steps": 9, "verdict": None, "seconds": 61.0,
               "identity": {"recipe": "a", "photographs": "b"}, "starts": []}  # fmt: skip
    (folder / "run.json").write_text(json.dumps(outcome))
    record_origin(PretrainStart(starts=(Start(name="before", sha256="ab" * 32, license="mit"),), license="mit"), folder)
    cell = RunResult("scratch", "5", 0, "default", 5, 6, 1.5, {"AP": 3.5, "AP50": None}, "ab" * 8)
    row = {"plan": "digest", **cell.__dict__}
    (folder / "runs.jsonl").write_text("".join(json.dumps(row | {"seed": seed}) + "\n" for seed in range(3)))


def read_run(folder: Path) -> None:
    log = read_log(folder)
    figures(log)
    json.dumps(log.recipe())
    _ = log.step, log.state, log.start


def report_run(folder: Path) -> None:
    write_report([folder], folder / "report.html")
    assert "<script" not in (folder / "report.html").read_text(encoding="utf-8")


def read_end(folder: Path) -> None:
    found = read_outcome(folder)
    has_finished(folder, {"recipe": "a", "photographs": "b"}, 9, 3.0)
    json.dumps(found)


# --- states and detectors ------------------------------------------------------------------------------------------

IDENTITY = {"recipe": "a", "photographs": "b"}


def network() -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5), nn.Linear(5, 2))
    groups = [{"params": list(model[0].parameters())}, {"params": [*model[1].parameters(), *model[2].parameters()]}]
    return model, LARS(groups, 0.3, 0.7, 1e-3)


def make_states(folder: Path) -> None:
    model, optimizer = network()
    model(torch.randn(7, 3)).square().sum().backward()
    optimizer.step()
    save_state(folder / "states", model, optimizer, TrainingProgress(10, 2.5), IDENTITY, keep=3)


def read_states(folder: Path) -> None:
    model, optimizer = network()
    progress = load_state(folder / "states", model, optimizer, IDENTITY)
    assert progress.step == 10
    assert all(tensor.isfinite().all() for tensor in model.state_dict().values()), "not finite"


def seal(folder: Path) -> None:
    """Let the digest agree, as a program with a fault, or an attacker, would."""
    for path in saved_states(folder / "states"):
        path.with_name(f"{path.name}.sha256").write_text(f"{sha256_file(path)}  {path.name}\n")


def mutate_state(content: bytes, choose: Choose) -> tuple[str, bytes]:
    """Another value somewhere in the mapping that was saved; or the bytes of the archive."""
    if choose([True, False, False]):
        return mutate_bytes(content, choose)
    values = torch.load(io.BytesIO(content), weights_only=True)
    holder, key = values, choose(list(values))
    while isinstance(holder[key], dict) and holder[key] and choose([True, True, False]):
        holder, key = holder[key], choose(list(holder[key]))
    kind = choose(["remove", "value", "tensor"])
    if kind == "remove":
        del holder[key]
    elif kind == "value":
        plain = [v for v in VALUES if v != "\ud800" and v != 10**400]
        holder[key] = choose(plain)
    else:
        holder[key] = choose([torch.zeros(3), torch.zeros(0), torch.tensor(float("nan")), torch.zeros(5, 3).half()])
    stream = io.BytesIO()
    torch.save(values, stream)
    return f"{kind} {key}", stream.getvalue()


def make_detector(folder: Path) -> None:
    spec = DetectorSpec(depth=18, fpn_channels=16, head_conv_channels=16, head_fc_channels=32)
    recipe = load_finetune_recipe(None, TINY).detector
    model = build_detector("scratch", 2, recipe, 3, spec)
    save_detector(folder / "best", model, DetectorConfig("scratch", ("a", "b"), recipe, 1, {"AP": 3.5}), spec, None)
    torch.save({key: torch.empty_like(t) for key, t in predictor_state(model).items()}, folder / "expected.pt")


def read_detector(folder: Path) -> None:
    home = folder / "best"
    config = from_dict(DetectorConfig, read_detector_json(home), str(home / "detector.json"))
    check_detector("detector.json", config.classes, config.recipe.with_anchors(DetectorSpec()), config.iterations)


def read_tops(folder: Path) -> None:
    expected = torch.load(folder / "expected.pt", weights_only=True)
    path = folder / "best" / "predictors.safetensors"
    size = path.stat().st_size if path.is_file() else 0
    digest = sha256_file(path) if 0 < size < 1 << 30 else "ab" * 32
    for tensor in read_predictors(folder / "best", expected, digest, size).values():
        assert tensor.isfinite().all()


P, N = (ProposalsError,), (NotARunError,)
READERS: list[tuple[Make, Reader]] = [
    (make_table, Reader("plan.json", "plan.json", mutate_json, read_table, P, examples=2)),
    (make_table, Reader("a shard of a table", "part-00001.parquet", mutate_parquet, read_table, P, examples=3)),
    (make_table, Reader("index", "index/starts.npy", mutate_bytes, read_table, P, examples=0.3)),
    (make_table, Reader("fingerprint", "index/fingerprint", mutate_bytes, read_table, P, examples=0.3)),
    (make_run, Reader("log.jsonl", "log.jsonl", mutate_lines, read_run, N, examples=2)),
    (make_run, Reader("log.jsonl, as a page", "log.jsonl", mutate_lines, report_run, N, examples=0.1)),
    (make_run, Reader("recipe.yaml of a run", "recipe.yaml", mutate_lines, read_run, N)),
    (make_run, Reader("preview.png", "preview.png", mutate_bytes, report_run, N, examples=0.1)),
    (make_run, Reader("run.json", "run.json", mutate_json, read_end, (), examples=2)),
    (make_run, Reader("run.json of a fine-tuning", "run.json", mutate_json,
                      lambda f: check_resumed(FinetuneStart(None, None, Preprocessing()), f), (ResumeError,))),
    (make_run, Reader("start.json", "start.json", mutate_json, recorded_origin, (ResumeError,))),
    (make_run, Reader("evaluations.json", "evaluations.json", mutate_json, lambda f: read_history(f, 30), ())),
    (make_run, Reader("runs.jsonl", "runs.jsonl", mutate_lines, lambda f: _finished(f, "digest"),
                      (DataError, OutputExistsError), examples=2)),
    (make_states, Reader("state", "states/step-00000010.pt", mutate_state, read_states, (ResumeError,), seal,
                         examples=3, irregular=IRREGULAR[:-1])),
    (make_states, Reader("digest of a state", "states/step-00000010.pt.sha256", mutate_bytes, read_states,
                         (ResumeError,))),
    (make_detector, Reader("detector.json", "best/detector.json", mutate_json, read_detector, (CheckpointError,),
                           examples=2)),
    (make_detector, Reader("predictors.safetensors", "best/predictors.safetensors", mutate_safetensors, read_tops,
                           (CheckpointError,), examples=2)),
]  # fmt: skip
