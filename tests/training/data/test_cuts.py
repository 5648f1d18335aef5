"""Views cut on the device: PIL's filter at the same windows, and the loader's own views of the same samples."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from adept_training.data.cache import write_cache
from adept_training.data.cuts import cut, view_pixels
from adept_training.data.loader import Batch, Order, Samples, Steps, make_loader
from tests.training.support import RandomBoxes, tiny, write_photographs

SIDE = 58


@pytest.mark.parametrize("size", [24, 58, 80])
@pytest.mark.parametrize("flip", [False, True])
def test_a_window_is_resized_as_pil_resizes_it(size: int, flip: bool) -> None:
    rng = np.random.default_rng(size)
    image = rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    windows = [(0.0, 0.0, 1.0, 1.0), (0.13, 0.41, 0.52, 0.33), (0.0, 0.5, 0.9, 0.5), (0.61, 0.02, 0.39, 0.9)]
    ours = cut(
        torch.from_numpy(image).permute(2, 0, 1).float().expand(len(windows), 3, SIDE, SIDE),
        torch.tensor([[*window, float(flip)] for window in windows]),
        size,
    )
    for mine, (x, y, w, h) in zip(ours.numpy(), windows, strict=True):
        box = (x * SIDE, y * SIDE, (x + w) * SIDE, (y + h) * SIDE)
        pil = np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR, box=box)).astype(float)
        # PIL rounds to whole levels after the rows and after the columns.
        np.testing.assert_allclose(mine, pil[:, ::-1] if flip else pil, atol=1.01)


def test_flips_are_of_each_image_alone() -> None:
    image = torch.rand(2, 3, SIDE, SIDE)
    whole = torch.tensor([[0.0, 0.0, 1.0, 1.0, 1.0], [0.0, 0.0, 1.0, 1.0, 0.0]])
    one, other = cut(image, whole, SIDE)
    torch.testing.assert_close(one, image[0].permute(1, 2, 0).flip(1))
    torch.testing.assert_close(other, image[1].permute(1, 2, 0))


def _both(folder: Path, *settings: str, workers: int = 0) -> tuple[Batch, Batch, tuple[int, int, int]]:
    source, recipe = write_photographs(folder / "images", 6), tiny(*settings)
    keys = tuple(source.keys())
    cached = write_cache(folder / "cache", source, keys, 74, 0)
    plain = Samples(source, RandomBoxes(), keys, recipe.views, recipe.colors, seed=5)
    batches = [
        next(iter(make_loader(samples, Steps(Order(6, 6, 1), 1, 2), workers)))
        for samples in (plain, dataclasses.replace(plain, cache=cached))
    ]
    return batches[0], batches[1], recipe.views.sizes


@pytest.mark.parametrize("mode", ["resize_v2", "independent"])
def test_a_cached_sample_differs_by_its_resampling_only(tmp_path: Path, mode: str) -> None:
    plain, cached, sizes = _both(tmp_path, f"views.v3_mode={mode}")
    for name in ("boxes1_S", "boxes2", "boxes3", "targets1", "others1", "windows_N35", "seed_N"):
        torch.testing.assert_close(getattr(cached, name), getattr(plain, name), atol=0, rtol=0)
    for one, other in zip(plain.views, cached.views, strict=True):
        torch.testing.assert_close(tuple(other.colors), tuple(one.colors), atol=0, rtol=0)
    for mine, theirs in zip(view_pixels(cached, sizes), view_pixels(plain, sizes), strict=True):
        assert mine.shape == theirs.shape
        difference = (mine - theirs.float()).abs()
        # The photographs are smooth: resampling twice moves a pixel by a few levels, another window by dozens.
        assert difference.mean() < 2.5
        assert (mine.flip(2) - theirs.float()).abs().mean() > 10


def test_a_cached_batch_is_the_same_with_workers(tmp_path: Path) -> None:
    _, alone, sizes = _both(tmp_path / "a")
    _, helped, _ = _both(tmp_path / "b", workers=2)
    for one, other in zip(view_pixels(alone, sizes), view_pixels(helped, sizes), strict=True):
        assert torch.equal(one, other)
