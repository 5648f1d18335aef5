"""Readers of weights, configs, cards and registries."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import torch
from safetensors.torch import save_file

from adept_hub.cards.card import write_card
from adept_hub.cards.measurements import with_measurements
from adept_hub.checkpoint.folder import CARD, CONFIG, WEIGHTS, read_config, read_tensors, write_checkpoint
from adept_hub.checkpoint.state_files import read_state
from adept_hub.detectors.files import PREDICTORS, read_detector_json, read_predictors
from adept_hub.errors import CheckpointError, IntegrityError, PublishError, RegistryError
from adept_hub.frameworks import DETECTRON2, MMDET
from adept_hub.frameworks.mmdet.facts import MMDET_STOCK
from adept_hub.frameworks.read_facts import facts_of_file
from adept_hub.io.digest import sha256_file
from adept_hub.registry.reader import read_registry
from adept_hub.spec import PARTS, Provenance
from tests.conftest import SMALL, random_parts
from tests.io.reader import Reader, text
from tests.registry.registries import small

TENSORS = {"a.weight": torch.arange(12.0).reshape(3, 4), "b": torch.ones(5)}
D2_TEXT = "MODEL:\n  META_ARCHITECTURE: GeneralizedRCNN\n"
MM_TEXT = json.dumps({"model": dict(MMDET_STOCK)}, default=list)


def make_checkpoint(folder: Path) -> None:
    write_checkpoint(
        folder / "ck", random_parts(SMALL).state_dict(), name="adept_joint_r18_fpn32.test", spec=SMALL, parts=PARTS,
        provenance=Provenance("adept_joint", "random numbers", 1, 1.0, "target"), license="mit", half=True,
    )  # fmt: skip
    write_card(folder / "ck", read_config(folder / "ck"))
    figures = {"source": "ck", "split": "val", "images": 3, "metrics": {"AP": 12.5}}
    (folder / "ck" / "metrics.json").write_text(json.dumps(figures))


def make_registry(folder: Path) -> None:
    (folder / "r.json").write_text(json.dumps(small()))


def make_weights(folder: Path) -> None:
    save_file(TENSORS, folder / "w.safetensors")
    torch.save({"state_dict": TENSORS}, folder / "w.pth")
    (folder / "w.pkl").write_bytes(pickle.dumps({"model": {k: t.numpy() for k, t in TENSORS.items()}}, protocol=2))


def make_detector(folder: Path) -> None:
    save_file(TENSORS, folder / PREDICTORS)
    (folder / "detector.json").write_text(json.dumps({"classes": ["cat", "dog"]}))


def predictors(folder: Path) -> object:
    path = folder / PREDICTORS
    small = path.is_file() and path.stat().st_size < 1 << 20  # else it is refused before it is read
    return read_predictors(
        folder, TENSORS, sha256_file(path) if small else "0" * 64, path.stat().st_size if small else 9
    )


READERS: dict[str, Reader] = {
    "config": Reader(f"ck/{CONFIG}", make_checkpoint, lambda f: read_config(f / "ck"), CheckpointError),
    "weights": Reader(f"ck/{WEIGHTS}", make_checkpoint, lambda f: read_tensors(f / "ck", read_config(f / "ck")),
                      CheckpointError, "binary"),
    "card": Reader(f"ck/{CARD}", make_checkpoint, lambda f: write_card(f / "ck", read_config(f / "ck")),
                   CheckpointError, "text", calm=("missing",)),
    "metrics": Reader("ck/metrics.json", make_checkpoint, lambda f: with_measurements(read_config(f / "ck"), f / "ck"),
                      PublishError, calm=("missing",)),
    "registry": Reader("r.json", make_registry, lambda f: read_registry((f / "r.json", f)), RegistryError),
    "safetensors": Reader("w.safetensors", make_weights, lambda f: read_state(f / "w.safetensors"), CheckpointError,
                          "binary"),
    "pth": Reader("w.pth", make_weights, lambda f: read_state(f / "w.pth"), CheckpointError, "binary"),
    "pkl": Reader("w.pkl", make_weights, lambda f: read_state(f / "w.pkl"), CheckpointError, "binary"),
    "digest": Reader("w.pth", make_weights, lambda f: sha256_file(f / "w.pth"), IntegrityError, "binary",
                     calm=("bytes", "half")),
    "detectron2": Reader("c.yaml", text("c.yaml", D2_TEXT), lambda f: facts_of_file(f / "c.yaml", DETECTRON2),
                         CheckpointError, "yaml"),
    "mmdet": Reader("c.json", text("c.json", MM_TEXT), lambda f: facts_of_file(f / "c.json", MMDET), CheckpointError),
    "detector": Reader("detector.json", make_detector, read_detector_json, CheckpointError),
    "predictors": Reader(PREDICTORS, make_detector, predictors, CheckpointError, "binary"),
}  # fmt: skip
