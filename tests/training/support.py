"""Small photographs, boxes and recipes for the trainer's tests."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from adept_training.images import ImageSource, open_images
from adept_training.pretraining.recipe import Recipe, load_recipe

TINY = (
    "model.depth=18", "model.fpn_channels=16", "model.head_conv_channels=16", "model.head_fc_channels=32",
    "views.sizes=[64,64,32]", "method.projector_hidden=32", "method.projection=16",
    "engine.batch_size=4", "engine.precision=fp32", "engine.log_every=1", "engine.probe_every=0",
    "engine.checkpoint_minutes=1000", "engine.collapse_spread=0", "engine.threads=1",
    "data.workers=0", "data.held_out=0",
    "schedule.epochs=2", "schedule.warmup_epochs=0.5", "optimizer.lr=1.0", "optimizer.rpn_lr=0.02",
)  # fmt: skip
DETECTION = (
    "method.name=detection", "method.detection.pseudo_classes=3", "method.detection.proposals=20",
    "method.detection.rois=12", "views.boxes=4", "views.other_boxes=2", "optimizer.name=sgd", "optimizer.lr=0.01",
)  # fmt: skip


def tiny(*settings: str) -> Recipe:
    """A recipe that takes a tenth of a second a step."""
    return load_recipe(None, (*TINY, *settings))


def tiny_detection(*settings: str) -> Recipe:
    """The same for the method `detection`."""
    own = [setting for setting in TINY if not setting.startswith("method.")]
    return load_recipe(None, (*own, *DETECTION, *settings))


def write_photographs(folder: Path, count: int, seed: int = 0) -> ImageSource:
    """Photographs of smooth noise, 96 x 80 pixels."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for i in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
        stream = io.BytesIO()
        coarse.resize((96, 80), Image.Resampling.BICUBIC).save(stream, "PNG")
        (folder / f"{i:03d}.png").write_bytes(stream.getvalue())
    return open_images(folder)


class RandomBoxes:
    """Six boxes for every key, the same at every call."""

    def boxes(self, key: str) -> np.ndarray:
        rng = np.random.default_rng(list(key.encode()))
        corner = rng.uniform(0, [40, 30], (6, 2))
        return np.concatenate([corner, corner + rng.uniform(25, 50, (6, 2))], axis=1).astype(np.float32)
