"""The library's readers, each with the valid file that is damaged: checkpoints, registries, configs, pickles."""

from __future__ import annotations

import io
import json
import pickle
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from safetensors.torch import save_file

from adept_hub.cards.card import render_card, write_card
from adept_hub.cards.card_data import eval_results
from adept_hub.cards.measurements import with_measurements
from adept_hub.checkpoint.folder import CONFIG, parse_config, read_config, replace_provenance
from adept_hub.checkpoint.state_files import read_state
from adept_hub.doctor import diagnose_file, diagnose_stock
from adept_hub.errors import (
    CheckpointError,
    DiskFullError,
    PublishError,
    RegistryError,
    SourceError,
    UnsupportedModelError,
)  # fmt: skip
from adept_hub.integrations.url_handler import parse_address
from adept_hub.io.folder_lock import _name, _owner
from adept_hub.io.schema import to_dict
from adept_hub.names import parse_source
from adept_hub.registry.reader import read_registry
from adept_hub.registry.training import training_command
from adept_hub.spec import FRAMEWORKS, CheckpointConfig, Metric, Start
from tests.hostile.mutate import Choose, mutate_bytes, mutate_json, mutate_lines, mutate_safetensors
from tests.hostile.property import Reader
from tests.registry.registries import checkpoint as registered
from tests.registry.registries import small

#: A valid folder is made by these, once; ``config`` is that of a real checkpoint.
Make = Callable[[Path], None]
_BUNDLED = Path(__file__).parents[2] / "adept_hub" / "bundled"


def check_page(text: str) -> None:
    """Of a card: no control characters, and nothing that a browser would run or fetch."""
    assert not {c for c in text if unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\t"}, "control characters"
    front, body = text.removeprefix("---\n").split("\n---\n", 1)
    assert "<script" not in body, "a script"
    assert isinstance(yaml.safe_load(front), dict), "no front matter"


# --- checkpoints ---------------------------------------------------------------------------------------------------


def make_config(folder: Path, config: CheckpointConfig) -> None:
    (folder / CONFIG).write_text(json.dumps(full_config(config)))


def full_config(config: CheckpointConfig) -> dict[str, Any]:
    """The values of a config.json in which every list has an item and every mapping a value."""
    metric = Metric("AP50", 41.5, "photos test", "self-reported", spread="± 1, 2 runs")
    start = Start(name="adept_joint_r18_fpn32.before", sha256="ab" * 32, license="mit")
    provenance = replace(
        config.provenance, proposals={"algorithm": "by hand", "digest": "12"}, metrics=(metric,), starts=(start,),
        recipe={"optim": {"lr": 0.5, "steps": [1, 2]}, "views": {"sizes": [72, 56]}}, trained_on="an abacus",
    )  # fmt: skip
    values = to_dict(replace(config, provenance=provenance, license="mit"))
    assert isinstance(values, dict)
    return values


def read_whole_config(folder: Path) -> None:
    config = read_config(folder)
    check_page(render_card(config, source="hf-hub:org/x", handwritten="By hand."))
    eval_results(config)
    training_command(config.provenance.method, config.spec)
    for framework in FRAMEWORKS:
        diagnose_stock(config, framework)


def mutate_provenance(content: bytes, choose: Choose) -> tuple[str, bytes]:
    """Damage within one section, in which most values are free."""
    values = json.loads(content)
    done, section = mutate_json(json.dumps(values["provenance"]).encode(), choose)
    return done, json.dumps(values | {"provenance": "@"}).encode().replace(b'"@"', section)


def change_provenance(folder: Path) -> None:
    before = content_of(folder / CONFIG)
    try:
        replace_provenance(folder, epochs=3.0)
        check_page(render_card(read_config(folder)))
    finally:
        put_back(folder / CONFIG, before)


def make_card(folder: Path, config: CheckpointConfig) -> None:
    make_config(folder, config)
    write_card(folder, read_config(folder))
    with (folder / "README.md").open("a") as card:
        card.write("\nWritten *by hand*.\n")


def rewrite_card(folder: Path) -> None:
    before = content_of(folder / "README.md")
    try:
        write_card(folder, read_config(folder))
        check_page((folder / "README.md").read_text(encoding="utf-8"))
    finally:
        put_back(folder / "README.md", before)


def content_of(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() and path.stat().st_size < 1 << 20 else None


def put_back(path: Path, content: bytes | None) -> None:
    if content is not None:
        path.write_bytes(content)


# --- registries, measurements, texts -------------------------------------------------------------------------------


def make_registry(folder: Path, _: CheckpointConfig) -> None:
    more = {f"mine_r18_fpn.p{i}": registered(images=i + 7, data=f"photos {i}") for i in range(3)}
    values = small()
    values["checkpoints"] |= more
    (folder / "models.json").write_text(json.dumps(values, indent=1))


def read_all(folder: Path) -> None:
    known = read_registry((folder / "models.json", folder))
    for one in known.names(None, pretrained=False):
        known.resolve(one)


def make_figures(folder: Path, config: CheckpointConfig) -> None:
    (folder / "x").mkdir()
    figures = {
        "source": "runs/x/export", "data": "voc:/home/someone/data/bccd", "trained_on": 1205, "split": "test",
        "images": 72, "metrics": {"AP50": 40.0, "TIDE_Loc": 6.0, "APs": None, "RPN_AR100": 9.5},
    }  # fmt: skip
    (folder / "x" / "metrics.json").write_text(json.dumps(figures))
    (folder / "x" / "config.text").write_text(json.dumps(full_config(config)))


def read_figures(folder: Path) -> None:
    config = parse_config((folder / "x" / "config.text").read_bytes(), "config.json")
    measured = with_measurements(config, folder / "x")
    check_page(render_card(measured))
    eval_results(measured)
    parse_config(json.dumps(to_dict(measured)).encode(), "the config with figures")


def make_text(text: str, folder: Path, _: CheckpointConfig) -> None:
    (folder / "text").write_text(text)


def text_of(folder: Path) -> str:
    return (folder / "text").read_bytes().decode("utf-8", "surrogateescape")


def make_owner(folder: Path, _: CheckpointConfig) -> None:
    content = {"pid": 4, "host": "a", "since": "2026-01-01 00:00:00", "command": "adept pretrain --out x"}
    (folder / ".adept-owner.json").write_text(json.dumps(content))


# --- other frameworks' files ---------------------------------------------------------------------------------------

DETECTRON2 = {
    "MODEL": {
        "META_ARCHITECTURE": "GeneralizedRCNN", "PIXEL_MEAN": [123.6, 116.2, 103.5], "PIXEL_STD": [58.3, 57.1, 57.3],
        "BACKBONE": {"NAME": "build_resnet_fpn_backbone", "FREEZE_AT": 0},
        "RESNETS": {"DEPTH": 50, "NORM": "SyncBN", "STRIDE_IN_1X1": False, "OUT_FEATURES": ["res2", "res3"]},
        "FPN": {"NORM": "SyncBN", "OUT_CHANNELS": 256}, "RPN": {"CONV_DIMS": [-1]},
        "ANCHOR_GENERATOR": {"SIZES": [[32], [64], [128], [256], [512]], "ASPECT_RATIOS": [[0.5, 1.0, 2.0]]},
        "ROI_BOX_HEAD": {"NUM_CONV": 4, "NUM_FC": 1, "CONV_DIM": 256, "FC_DIM": 1024, "NORM": "SyncBN",
                         "POOLER_TYPE": "ROIAlignV2", "POOLER_SAMPLING_RATIO": 0},
    },
    "INPUT": {"FORMAT": "RGB"},
}  # fmt: skip


def make_config_of(framework: str, name: str, folder: Path, config: CheckpointConfig) -> None:
    from adept_hub.frameworks.mmdet.facts import MMDET_STOCK

    values = DETECTRON2 if framework == "detectron2" else {"model": dict(MMDET_STOCK)}
    (folder / "base.json").write_text(json.dumps(values, default=list))
    (folder / name).write_text(json.dumps({"_BASE_": "base.json", "_base_": ["base.json"], **values}, default=list))
    (folder / "config.text").write_text(json.dumps(full_config(config)))


def doctor(framework: str, name: str, folder: Path) -> None:
    config = parse_config((folder / "config.text").read_bytes(), "config.json")
    for finding in diagnose_file(folder / name, config, framework):
        assert finding.remedy
        assert len(finding.actual) < 5000, finding.code


def tensors() -> dict[str, torch.Tensor]:
    counts, halves = torch.ones(2, dtype=torch.int64), torch.ones(5).half()
    return {"a.weight": torch.arange(12.0).reshape(3, 4), "b": counts, "c.half": halves}


def make_weights(name: str, folder: Path, _: CheckpointConfig) -> None:
    path, values = folder / name, tensors()
    if name.endswith(".safetensors"):
        save_file(values, path)
    elif name.endswith(".pkl"):
        arrays = {"model": {key: np.asarray(tensor.float()) for key, tensor in values.items()}, "__author__": "x"}
        path.write_bytes(pickle.dumps(arrays, protocol=2))
    else:
        stream = io.BytesIO()
        content = {"state_dict": values, "meta": {"epoch": 3}}
        torch.save(content, stream, _use_new_zipfile_serialization=name == "new.pth")
        path.write_bytes(stream.getvalue())


def read_weights(name: str, folder: Path) -> None:
    for key, tensor in read_state(folder / name).items():
        assert isinstance(key, str)
        tensor.float().sum()


_CONFIGS = [("detectron2", "d2.yaml"), ("mmdet", "mmdet.yaml"), ("mmdet", "mmdet.json")]
_WEIGHTS = ["new.pth", "old.pth", "arrays.pkl"]
CK, UN = CheckpointError, UnsupportedModelError


@cache
def bundled_config() -> CheckpointConfig:
    """Return the config of the bundled checkpoint, which every folder here is made from."""
    path = next(_BUNDLED.glob("*/config.json"))
    return parse_config(path.read_bytes(), str(path))


@cache
def _made(make: Callable[[Path, CheckpointConfig], None]) -> Make:
    return lambda folder: make(folder, bundled_config())


_READERS: list[tuple[Callable[[Path, CheckpointConfig], None], Reader]] = [
    (make_config, Reader("config.json", CONFIG, mutate_json, read_whole_config, (CK,), examples=2)),
    (make_config, Reader("provenance", CONFIG, mutate_provenance, change_provenance, (CK,), examples=2)),
    (make_card, Reader("README.md", "README.md", mutate_lines, rewrite_card, (CK, DiskFullError))),
    (make_registry, Reader("models.json", "models.json", mutate_json, read_all, (RegistryError,), examples=3)),
    (make_figures, Reader("metrics.json", "x/metrics.json", mutate_json, read_figures, (PublishError, CK), examples=2)),
    (make_owner, Reader("owner of a lock", ".adept-owner.json", mutate_json, lambda folder: _name(_owner(folder)), ())),
    (partial(make_text, "adept://adept_joint#detector=cascade_rcnn&norm=FrozenBN"),
     Reader("an address", "text", mutate_bytes, lambda folder: parse_address(text_of(folder)), (SourceError,))),
    (partial(make_text, "hf-hub:org/name@main"),
     Reader("a source", "text", mutate_bytes, lambda folder: parse_source(text_of(folder)), (SourceError,))),
    *((partial(make_config_of, framework, name),
       Reader(f"doctor {name}", name, mutate_json, partial(doctor, framework, name), (CK, UN), examples=2))
      for framework, name in _CONFIGS),
    (partial(make_weights, "x.safetensors"),
     Reader("x.safetensors", "x.safetensors", mutate_safetensors, partial(read_weights, "x.safetensors"), (CK,),
            examples=2)),
    *((partial(make_weights, name),
       Reader(name, name, mutate_bytes, partial(read_weights, name), (CK,), examples=2)) for name in _WEIGHTS),
]  # fmt: skip
READERS: list[tuple[Make, Reader]] = [(_made(make), reader) for make, reader in _READERS]
