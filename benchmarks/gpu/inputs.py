"""Inputs of `benchmarks.gpu.measuring`: random photographs, as files and as batches. Never zeros, which run faster."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from adept_training.data.loader import Batch, Samples
from adept_training.pretraining.recipe import Recipe
from benchmarks.boxes.any_boxes import AnyBoxes


@dataclass(frozen=True)
class Few:
    """A source of any number of keys that has eight photographs."""

    contents: tuple[bytes, ...]
    count: int

    def keys(self) -> list[str]:
        return [f"{i}" for i in range(self.count)]

    def read(self, key: str) -> bytes:
        return self.contents[int(key) % len(self.contents)]

    def subset(self, keys: Sequence[str]) -> Few:
        return self


def make_batches(recipe: Recipe, images: int, count: int) -> list[Batch]:
    """Draw batches as the loader does, with colors and boxes, from random photographs of 500 x 375."""
    rng = np.random.default_rng(0)
    source = Few(tuple(_jpeg(rng) for _ in range(8)), images)
    samples = Samples(source, AnyBoxes(), tuple(source.keys()), recipe.views, recipe.colors, 0)
    return [samples.collate([samples[number, i] for i in range(images)]) for number in range(count)]


def write_photographs(folder: str, count: int) -> None:
    """Write JPEG files of 500 x 375 with about the content of photographs."""
    rng = np.random.default_rng(1)
    for i in range(count):
        (Path(folder) / f"{i:04d}.jpg").write_bytes(_jpeg(rng))


def _jpeg(rng: np.random.Generator) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(_photograph(rng)).save(stream, "JPEG", quality=90)
    return stream.getvalue()


def _photograph(rng: np.random.Generator) -> np.ndarray:
    coarse = Image.fromarray(rng.integers(0, 256, (47, 63, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((500, 375), Image.Resampling.BICUBIC)).astype(np.int16)
    noise = rng.integers(-8, 9, (375, 500, 3), dtype=np.int16)
    return (smooth + noise).clip(0, 255).astype(np.uint8)
