"""Every kind of reader with a sound file of its own, to be harmed: how it is made and read, and its error."""

from __future__ import annotations

import json
import pickle
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from adept_hub.cards.card import write_card
from adept_hub.cards.measurements import with_measurements
from adept_hub.checkpoint.folder import CARD, CONFIG, WEIGHTS, read_config, read_tensors, write_checkpoint
from adept_hub.checkpoint.state_files import read_state
from adept_hub.errors import (
    AdeptError,
    CheckpointError,
    DataError,
    ImageDecodeError,
    ImagesError,
    IntegrityError,
    NotARunError,
    ProposalsError,
    PublishError,
    RecipeError,
    RegistryError,
    ResumeError,
    TrackerError,
)
from adept_hub.frameworks import DETECTRON2, MMDET
from adept_hub.frameworks.mmdet.facts import MMDET_STOCK
from adept_hub.frameworks.read_facts import facts_of_file
from adept_hub.io.digest import sha256_file
from adept_hub.registry.reader import read_registry
from adept_hub.spec import PARTS, Preprocessing, Provenance
from adept_training.comparing.runs import _finished
from adept_training.finetuning.detector_files import PREDICTORS, read_detector_json, read_predictors
from adept_training.finetuning.history import read_history
from adept_training.finetuning.origin import FinetuneStart, check_resumed
from adept_training.finetuning.recipe import load_finetune_recipe
from adept_training.images import decode, open_images, read_file, read_file_size
from adept_training.labels.datasets import open_data
from adept_training.labels.subsets import Budget, load_subset, save_subset
from adept_training.metrics.coco_files import load_detections
from adept_training.pretraining.origin import recorded_origin
from adept_training.pretraining.recipe import load_recipe
from adept_training.pretraining.watch.log import read_log
from adept_training.pretraining.watch.outcome import read_outcome
from adept_training.pretraining.watch.pictures import read_picture
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
from tests.conftest import SMALL, random_parts
from tests.registry.registries import small
from tests.training.conftest import write_voc
from tests.training.labels.formats.yolo_written import NAMES, TWO, write_yolo

TENSORS = {"a.weight": torch.arange(12.0).reshape(3, 4), "b": torch.ones(5)}
PLAN = TablePlan(1, 1, keys_digest(["a"]), get_preset("paper").as_dict(), {"name": "test"}, "test")
BOXES = np.array([[1, 2, 30, 20]], np.float32)


@dataclass(frozen=True)
class Reader:
    """One kind of reader.

    Attributes:
        file: what is harmed, relative to the folder.
        make: writes the sound files into an empty folder.
        read: reads them.
        error: what is raised for a harmed one.
        format: of the file: json, yaml, xml, lines, text or binary.
        calm: causes at which it goes on without the file, as it should.
    """

    file: str
    make: Callable[[Path], object]
    read: Callable[[Path], object]
    error: type[AdeptError]
    format: str = "json"
    calm: tuple[str, ...] = ()


def text(name: str, content: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text(content)


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


def png(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (30, 40, 3), np.uint8)).save(path, format="PNG")


def make_coco(folder: Path) -> None:
    png(folder / "images" / "a.png")
    content = {
        "images": [{"id": 4, "file_name": "a.png", "width": 40, "height": 30}],
        "categories": [{"id": 7, "name": "cat"}],
        "annotations": [{"id": 1, "image_id": 4, "category_id": 7, "bbox": [1, 2, 10, 8], "area": 80, "iscrowd": 0}],
    }
    (folder / "a.json").write_text(json.dumps(content))
    row = {"image_id": 4, "category_id": 7, "bbox": [1, 2, 10, 8], "score": 0.5}
    (folder / "found.json").write_text(json.dumps([row]))
    (folder / "data.yaml").write_text("train: coco:a.json:images\n")


def make_yolo_list(folder: Path) -> None:
    write_yolo(folder, {"train/a": TWO}, NAMES).write_text(f"{NAMES}train: list.txt\n")
    (folder / "list.txt").write_text("images/train/a.png\n")


def coco(folder: Path) -> Any:
    return open_data(f"coco:{folder / 'a.json'}:{folder / 'images'}").train


def make_subset(folder: Path) -> None:
    make_coco(folder)
    save_subset(folder / "subset.json", coco(folder), Budget(1, "image"), 0)


def make_tar(folder: Path) -> None:
    png(folder / "a.png")
    with tarfile.open(folder / "t.tar", "w") as tar:
        tar.add(folder / "a.png", "a.png")
    (folder / "a.png").unlink()


def read_tar(folder: Path) -> object:
    shards = open_images(folder / "t.tar")
    return shards.read(shards.keys()[0])


def read_late(folder: Path) -> object:
    """A member of a shard that was harmed after it was opened."""
    (folder / "sound").mkdir()
    make_tar(folder / "sound")
    shards = open_images(folder / "sound" / "t.tar")
    return replace(shards, root=folder).read(shards.keys()[0])  # type: ignore[type-var]


def make_list(folder: Path) -> None:
    png(folder / "a.png")
    (folder / "list.txt").write_text("a.png\n")


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


START = {"kind": "start", "time": 1.0, "step": 0, "steps": 9, "images": 12, "held_out": 0, "resumed": False}


def model() -> tuple[nn.Module, torch.optim.Optimizer]:
    made = nn.Linear(3, 2)
    return made, torch.optim.SGD(made.parameters(), 0.1)


def make_detector(folder: Path) -> None:
    save_file(TENSORS, folder / PREDICTORS)
    (folder / "detector.json").write_text(json.dumps({"classes": ["cat", "dog"]}))


def predictors(folder: Path) -> object:
    path = folder / PREDICTORS
    small = path.is_file() and path.stat().st_size < 1 << 20  # else it is refused before it is read
    return read_predictors(
        folder, TENSORS, sha256_file(path) if small else "0" * 64, path.stat().st_size if small else 9
    )


def state(name: str) -> Reader:
    def make(folder: Path) -> None:
        save_state(folder, *model(), TrainingProgress(3), {}, keep=1)

    return Reader(name, make, lambda folder: load_state(folder, *model(), {}), ResumeError, "binary")


EVERYTHING = ("pipe", "folder", "device", "missing", "huge", "bytes", "deep", "number", "half", "surrogate")
CONTENT = EVERYTHING[5:]
INDEX = [f"index/{name}" for name in ("fingerprint", "boxes_B4.npy", "keys.npy")]
D2_TEXT = "MODEL:\n  META_ARCHITECTURE: GeneralizedRCNN\n"
MM_TEXT = json.dumps({"model": dict(MMDET_STOCK)}, default=list)

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
    "recipe": Reader("r.yaml", text("r.yaml", "schedule:\n  epochs: 70\n"), lambda f: load_recipe(f / "r.yaml"),
                     RecipeError, "yaml"),
    "recipe of fine-tuning": Reader("r.yaml", text("r.yaml", "schedule:\n  iterations: 7\n"),
                                    lambda f: load_finetune_recipe(f / "r.yaml"), RecipeError, "yaml"),
    "data": Reader("data.yaml", make_coco, lambda f: open_data(f / "data.yaml"), DataError, "yaml"),
    "coco": Reader("a.json", make_coco, coco, DataError),
    "voc annotation": Reader("Annotations/val0.xml", lambda f: write_voc(f, 2), lambda f: open_data(f"voc:{f}"),
                             DataError, "xml"),
    "voc set": Reader("ImageSets/Main/train.txt", lambda f: write_voc(f, 2), lambda f: open_data(f"voc:{f}"),
                      DataError, "text"),
    "yolo": Reader("data.yaml", write_yolo, lambda f: open_data(f"yolo:{f / 'data.yaml'}"), DataError, "yaml"),
    "yolo labels": Reader("labels/train/b.txt", write_yolo, lambda f: open_data(f"yolo:{f / 'data.yaml'}"), DataError,
                          "text", calm=("missing",)),
    "yolo list": Reader("list.txt", make_yolo_list, lambda f: open_data(f"yolo:{f / 'data.yaml'}"), DataError, "text"),
    "detections": Reader("found.json", make_coco, lambda f: load_detections([f / "found.json"], coco(f)), DataError),
    "subset": Reader("subset.json", make_subset, lambda f: load_subset(f / "subset.json", coco(f)), DataError),
    "image": Reader("a.png", lambda f: png(f / "a.png"), lambda f: decode(read_file(f / "a.png", "a"), "a"),
                    ImageDecodeError, "binary"),
    "image's size": Reader("a.png", lambda f: png(f / "a.png"), lambda f: read_file_size(f / "a.png", "a"),
                           ImageDecodeError, "binary"),
    "image of a run": Reader("held_out.png", lambda f: png(f / "held_out.png"),
                             lambda f: read_picture(f / "held_out.png"), ImageDecodeError, "binary"),
    "list": Reader("list.txt", make_list, lambda f: open_images(f / "list.txt"), ImagesError, "text"),
    "shard": Reader("t.tar", make_tar, read_tar, ImagesError, "binary"),
    "member of a shard": Reader("t.tar", make_tar, read_late, ImageDecodeError, "binary",
                                calm=("huge",)),
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
    "detector": Reader("detector.json", make_detector, read_detector_json, CheckpointError),
    "predictors": Reader(PREDICTORS, make_detector, predictors, CheckpointError, "binary"),
    "evaluations": Reader("evaluations.json", text("evaluations.json", "[[3, 1.5]]"), lambda f: read_history(f, 9),
                          ResumeError, calm=EVERYTHING),
    "finished runs": Reader("runs.jsonl", text("runs.jsonl", "{}"), lambda f: _finished(f, "x"), DataError,
                            calm=("missing", *CONTENT)),
}  # fmt: skip
