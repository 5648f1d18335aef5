"""One house with no default anywhere: a checkpoint and a data set in which every fact has a value of its own.

A stage that fills in a default where a fact exists is wrong here, and by so much that every comparison sees it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from adept_hub.checkpoint.folder import write_checkpoint
from adept_hub.models import DetectorParts
from adept_hub.spec import PARTS, AnchorSpec, CheckpointConfig, DetectorSpec, LevelSpec, Preprocessing, Provenance
from tests.frameworks_support import random_tensors

NAME = "adept_joint_r18_fpn24.house"
LICENSE = "cc-by-nc-sa-4.0"
PIXELS = Preprocessing(mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))
#: Anchors that are no octaves, two ratios instead of three, levels that are octaves (exports cannot express others).
SPEC = DetectorSpec(
    depth=18, fpn_channels=24, head_conv_channels=40, head_fc_channels=72,
    anchors=AnchorSpec((11.0, 23.0, 47.0, 90.0), (0.4, 1.7)), levels=LevelSpec((36.0, 72.0, 144.0, 170.0)),
)  # fmt: skip
#: Anchors of a detector built on it, P2-P6.
ANCHORS = (11.0, 23.0, 47.0, 90.0, 180.0)
#: Settings of a fine-tuning that takes a second and sees every image smaller than it is.
TUNE = (
    "detector.train_sides=[48,64]", "detector.test_side=64", "detector.max_side=90", "detector.rois=32",
    "detector.rpn_anchors=64", "detector.train_proposals=100", "detector.test_proposals=50", "detector.detections=37",
    "detector.score_threshold=0.02", "schedule.iterations=4", "engine.batch_size=2", "engine.workers=0",
    "engine.threads=1", "engine.evaluations=2", "engine.log_every=1", "norms.precise_batches=2",
)  # fmt: skip


@dataclass(frozen=True)
class House:
    """A checkpoint folder, its config as written, and the network that its tensors came from."""

    folder: Path
    config: CheckpointConfig
    parts: DetectorParts

    @property
    def source(self) -> str:
        return str(self.folder)

    @torch.no_grad()
    def features(self, image_3HW: Tensor) -> list[Tensor]:
        """P2-P5 of a uint8 RGB image that is not resized, its input worked out here."""
        return self.parts.pyramid(network_input(image_3HW)[None])


def network_input(image_3HW: Tensor) -> Tensor:
    """(x / 255 - mean) / std with the house's own numbers."""
    mean, std = torch.tensor([0.1, 0.2, 0.3]), torch.tensor([0.4, 0.5, 0.6])
    return (image_3HW.float() / 255 - mean[:, None, None]) / std[:, None, None]


def photograph(height: int = 64, width: int = 96, seed: int = 0) -> Tensor:
    """A uint8 RGB image (3, H, W) whose channels differ."""
    noise = torch.rand(3, height, width, generator=torch.Generator().manual_seed(seed))
    return (noise * torch.tensor([255.0, 180.0, 90.0])[:, None, None]).to(torch.uint8)


def write_house(folder: Path, parts: tuple[str, ...] = PARTS, **changes: Any) -> House:
    """Write the checkpoint; ``changes`` are other arguments of `write_checkpoint`."""
    spec = changes.get("spec", SPEC)
    tensors = random_tensors(spec)
    module = DetectorParts(spec).eval()
    module.load_state_dict(tensors)
    provenance = Provenance(
        "soco" if "rpn" not in parts else "adept_joint", "photographs of a house", 321, 7.5, "online",
        proposals={"algorithm": "by hand"}, recipe={"views": {"sizes": [72, 56, 40]}}, trained_on="an abacus",
    )  # fmt: skip
    arguments: dict[str, Any] = {
        "name": NAME, "spec": spec, "provenance": provenance, "license": LICENSE, "parts": parts,
        "preprocessing": PIXELS, **changes,
    }  # fmt: skip
    held = {key: tensor for key, tensor in tensors.items() if key.split(".")[0] in parts}
    if "head" in parts:
        held |= regressor_of(spec)
    return House(folder, write_checkpoint(folder, held, **arguments), module)


def regressor_of(spec: DetectorSpec) -> dict[str, Tensor]:
    """A box regressor of numbers as large as no initial values are."""
    generator = torch.Generator().manual_seed(4)
    return {
        "head.bbox_pred.weight": torch.randn(4, spec.head_fc_channels, generator=generator) / 8,
        "head.bbox_pred.bias": torch.randn(4, generator=generator),
    }


@dataclass(frozen=True)
class HouseData:
    """COCO files whose image ids are text, not contiguous, and the same in every file for other images.

    ``perfect`` are detections of every object of ``val``; ``half`` of one of the two of each class of ``other``.
    """

    images: Path
    train: Path
    val: Path
    other: Path
    perfect: Path
    half: Path

    def words(self, *annotations: Path) -> list[str]:
        """What ``--data`` takes: by default train and val."""
        return [f"coco:{path}:{self.images}" for path in annotations or (self.train, self.val)]


#: Box and mask AP of `HouseData.perfect`, of ``half`` (recall 0.5: 51 of COCO's 101 points), and of both together.
AP_PERFECT, AP_HALF, AP_BOTH = 100.0, 5100 / 101, 7600 / 101
#: In the file's order, which is neither that of the ids nor that of the alphabet.
CATEGORIES = ({"id": 7, "name": "mouse"}, {"id": 3, "name": "zebra"}, {"id": 40, "name": "ant"})
CLASSES = ("zebra", "mouse", "ant")
_IDS = ("0007", "12b", "7", "a 1")
_SIDES = ((130, 96), (96, 150), (111, 99), (140, 120))


def write_house_data(folder: Path) -> HouseData:
    """Four images in each of train.json, val.json and other.json, each with three triangles and their masks."""
    found = HouseData(folder, *(folder / f"{name}.json" for name in ("train", "val", "other", "perfect", "half")))
    for seed, path in enumerate((found.train, found.val, found.other)):
        coco = _coco(folder, path.stem, seed)
        path.write_text(json.dumps(coco))
        for kind, name in (("perfect", "val"), ("half", "other")):
            if path.stem == name:
                (folder / f"{kind}.json").write_text(json.dumps(_detections(coco, kind == "half")))
    return found


def _coco(folder: Path, name: str, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    images, marks = [], []
    for at, (key, (width, height)) in enumerate(zip(_IDS, _SIDES, strict=True)):
        # Two cameras that number alike, so that no base name is unique.
        path = f"{name}/cam{at % 2}/{at // 2:04d}.png"
        picture = Image.fromarray(rng.integers(90, 160, (height, width, 3), dtype=np.uint8))
        # Two objects of each class: the first two images hold all three, the last two nothing.
        for place, category in enumerate(CATEGORIES if at < 2 else ()):
            x, y, w, h = 4 + 30 * place, int(rng.integers(3, 40)), int(rng.integers(14, 26)), int(rng.integers(20, 50))
            corners = [x, y, x + w, y, x, y + h]  # right-angled at the upper left: mirrored it is another
            ImageDraw.Draw(picture).polygon(corners, fill=(230, 40 * place, 20))
            mark = {"image_id": key, "category_id": category["id"], "bbox": [x, y, w, h], "area": w * h / 2}
            marks.append({"id": 1000 - 3 * len(marks), **mark, "iscrowd": 0, "segmentation": [corners]})
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        picture.save(folder / path)
        images.append({"id": key, "file_name": path, "width": width, "height": height})
    return {"images": images, "annotations": marks, "categories": list(CATEGORIES)}


def _detections(coco: dict[str, Any], half: bool) -> list[dict[str, Any]]:
    first = coco["images"][0]["id"]
    rows = [row for row in coco["annotations"] if not half or row["image_id"] == first]
    kept = ("image_id", "category_id", "bbox")
    return [{**{key: row[key] for key in kept}, "score": 0.9 - 0.01 * at} for at, row in enumerate(rows)]
