"""A batch of random pixels with realistic boxes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from adept_training.data.loader import Batch, BoxBatch, ViewBatch
from adept_training.data.photometric import Colors


def make_batch(images: int, sizes: tuple[int, ...], sets: int) -> Batch:
    """Random pixels without color changes and realistic boxes; V2 shows 3/4 of the photograph, V3 the same at half."""
    rng = np.random.default_rng(0)
    views, boxes = [], []
    for view, size in enumerate(sizes):
        pixels = torch.from_numpy(rng.integers(0, 256, (images, size, size, 3), dtype=np.uint8))
        zeros, colors = torch.zeros(images), torch.tensor([1.0, 1, 1, 0]).repeat(images, 1)
        order = torch.arange(4).repeat(images, 1)
        views.append(
            ViewBatch(pixels, Colors(colors, order, zeros.bool(), zeros, zeros.bool(), torch.zeros(images, 4, 4)))
        )
        boxes.append([_boxes(rng, images, size, 1.0 if view == 0 else 1.15) for _ in range(sets)])
    return Batch(
        (views[0], views[1], views[2]), tuple(boxes[0]), boxes[1][0], boxes[2][0], boxes[0][0], boxes[0][0],
        torch.zeros(images, 3, 5), torch.arange(images), torch.zeros(images, dtype=torch.bool), torch.arange(images),
    )  # fmt: skip


def _boxes(rng: np.random.Generator, images: int, size: int, zoom: float) -> BoxBatch:
    scale = rng.uniform(0.3, 0.8, (images, 4)) * size * zoom
    ratio = np.exp(rng.uniform(-np.log(3), np.log(3), (images, 4)))
    wh = np.minimum(np.stack([scale * np.sqrt(ratio), scale / np.sqrt(ratio)], axis=2), size)
    corner = rng.random((images, 4, 2)) * (size - wh)
    found = torch.from_numpy(np.concatenate([corner, corner + wh], axis=2).astype(np.float32))
    ids: Tensor = torch.arange(4).expand(images, 4)
    return BoxBatch(found, ids, torch.ones(images, 4, dtype=torch.bool))


def to_device(value: Any, device: str) -> Any:
    """Tensors of nested tuples, moved without waiting where they are pinned."""
    if isinstance(value, Tensor):
        return value.to(device, non_blocking=True)
    if not isinstance(value, tuple | list):
        return value
    moved = [to_device(item, device) for item in value]
    return type(value)(*moved) if hasattr(value, "_fields") else tuple(moved)
