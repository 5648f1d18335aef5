"""Inputs of `benchmarks.gpu.measuring`: random photographs, as files and as batches. Never zeros, which run faster."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from adept_training.data.loader import Batch, Samples, collate
from adept_training.images import FileImages
from adept_training.pretraining.recipe import Recipe
from benchmarks.pretrain import AnyBoxes


def make_batches(recipe: Recipe, images: int, count: int) -> list[Batch]:
    """Draw batches as the loader does, with colors and boxes, from random photographs of 500 x 375."""
    samples = Samples(FileImages(Path(), ()), AnyBoxes(), (), recipe.views, recipe.colors, 0)
    rng = np.random.default_rng(0)
    photographs = [_photograph(rng) for _ in range(8)]
    batches = []
    for number in range(count):
        drawn = [
            samples._sample(photographs[i % 8], AnyBoxes().boxes(f"{i}"), (number, i), False) for i in range(images)
        ]
        batches.append(collate(drawn))
    return batches


def write_photographs(folder: str, count: int) -> None:
    """Write JPEG files of 500 x 375 with about the content of photographs."""
    rng = np.random.default_rng(1)
    for i in range(count):
        stream = io.BytesIO()
        Image.fromarray(_photograph(rng)).save(stream, "JPEG", quality=90)
        (Path(folder) / f"{i:04d}.jpg").write_bytes(stream.getvalue())


def _photograph(rng: np.random.Generator) -> np.ndarray:
    coarse = Image.fromarray(rng.integers(0, 256, (47, 63, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((500, 375), Image.Resampling.BICUBIC)).astype(np.int16)
    noise = rng.integers(-8, 9, (375, 500, 3), dtype=np.int16)
    return (smooth + noise).clip(0, 255).astype(np.uint8)
