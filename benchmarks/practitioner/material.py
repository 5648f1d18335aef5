"""Prepare what all programs share: images with labels as COCO files, and a detector that was fine-tuned on them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adept_hub.checkpoint.folder import read_config
from adept_hub.detectors.folder import DetectorConfig, read_detector
from adept_hub.spec import CheckpointConfig
from adept_training.calls.finetuning import finetune
from adept_training.converting.convert import convert_data
from adept_training.deploying.deploy import deploy
from adept_training.finetuning.recipe import FinetuneRecipe, load_finetune_recipe
from adept_training.labels.datasets import open_data
from adept_training.labels.records import Data

SPLITS = ("train", "test")


@dataclass(frozen=True)
class Material:
    """The shared material.

    Attributes:
        folder: of ``train.json``, ``test.json``, ``images`` and the deployed detectors.
        data: the same labels by our reader.
        run: the fine-tuned detector.
        recipe: of training steps, resolved.
    """

    folder: Path
    data: Data
    run: Path
    recipe: FinetuneRecipe

    @property
    def images(self) -> Path:
        """The folder of images."""
        return self.folder / "images"

    @property
    def detector(self) -> DetectorConfig:
        """The settings of the detector."""
        return read_detector(self.run)[1]

    @property
    def checkpoint(self) -> CheckpointConfig:
        """The architecture of the detector."""
        return read_config(self.run)

    def labels(self, split: str) -> Path:
        """Return the COCO file of a split."""
        return self.folder / f"{split}.json"

    def files(self, split: str) -> list[Path]:
        """Return the image files of a split, in order."""
        return [self.images / row["file_name"] for row in json.loads(self.labels(split).read_text())["images"]]


def make_material(
    words: list[str], folder: Path, *, source: str, settings: list[str], counts: tuple[int, int], iterations: int
) -> Material:
    """Select images, fine-tune a detector on them, and deploy it to both rivals.

    Args:
        words: ``--data``; training images come from its first split, test images from its last.
        folder: a new folder.
        source: where fine-tuning starts.
        settings: of the recipe, on top of ``cpu_small``.
        counts: numbers of images for training and for testing.
        iterations: of fine-tuning before anything is measured, so that there is something to detect.
    """
    converted = convert_data(words, "coco", folder, images="link")
    roles = list(converted.data.roles())
    for name, role, count in zip(SPLITS, (roles[0], roles[-1]), counts, strict=True):
        content = json.loads((folder / f"{role}.json").read_text())
        (folder / f"{name}.json").write_text(json.dumps(first(content, count)))
    specs = [f"coco:{folder / f'{name}.json'}:{folder / 'images'}" for name in SPLITS]
    run = folder / "run"
    recipe = load_finetune_recipe("cpu_small", settings)
    finetune(source, specs, run, recipe="cpu_small", device="cpu",
             settings=[*settings, f"schedule.iterations={iterations}", "engine.evaluations=0"])  # fmt: skip
    for framework in ("torchvision", "detectron2"):
        deploy(run / "last", framework, folder / framework)
    data = open_data(specs)
    return Material(folder, data, run / "last", recipe.resolved(len(data.train), accelerator=False))


def first(content: dict[str, Any], count: int) -> dict[str, Any]:
    """Return the first images of a COCO file that have objects, with their objects."""
    labeled = {mark["image_id"] for mark in content["annotations"]}
    images = [image for image in content["images"] if image["id"] in labeled][:count]
    ids = {image["id"] for image in images}
    marks = [mark for mark in content["annotations"] if mark["image_id"] in ids]
    return {**content, "images": images, "annotations": marks}
