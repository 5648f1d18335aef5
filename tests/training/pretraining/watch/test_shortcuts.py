"""Same-image neighbors, R² on color and mean colors, each against a slow computation or a case solved by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from adept_training.pretraining.watch.probe import HeldOut
from adept_training.pretraining.watch.shortcuts import color_r2, mean_colors, measure_head, same_image_share


def _slow_share(features: torch.Tensor, image: torch.Tensor, rows: range) -> float:
    centered = features - features.mean(dim=0)
    hits = []
    for i in rows:
        others = sorted(
            (j for j in range(len(features)) if j != i),
            key=lambda j, i=i: -float(torch.cosine_similarity(centered[i], centered[j], dim=0)),
        )
        hits += [float(image[j] == image[i]) for j in others[:10]]
    return sum(hits) / len(hits)


@pytest.mark.parametrize("most", [1000, 7])
def test_the_nearest_boxes_are_those_of_a_loop(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every image leans in its own direction, by a third of what differs within it; all lean in one more."""
    monkeypatch.setattr("adept_training.pretraining.watch.shortcuts._MOST", most)
    generator = torch.Generator().manual_seed(0)
    image = torch.arange(5).repeat_interleave(torch.tensor([4, 9, 12, 3, 7]))
    lean = torch.randn(5, 8, generator=generator)[image] / 3
    features = torch.randn(35, 8, generator=generator) + lean + 20
    rows = range(35) if most == 1000 else range(0, 35, 5)
    assert same_image_share(features, image) == pytest.approx(_slow_share(features, image, rows))
    chance = sum(n * (n - 1) for n in (4, 9, 12, 3, 7)) / 35 / 34
    clear = same_image_share(torch.eye(8)[image] + 0.01 * features, image)
    assert clear > same_image_share(features, image) > chance
    assert clear == pytest.approx(sum(n * min(n - 1, 10) for n in (4, 9, 12, 3, 7)) / 350, abs=0.15)
    assert math.isnan(same_image_share(features[:10], image[:10]))


def test_r2_is_that_of_least_squares() -> None:
    rng = np.random.default_rng(0)
    color, noise = rng.random((40, 3)) * 255, rng.normal(size=(40, 6))
    features = color @ rng.normal(size=(3, 6)) / 100 + noise + 7
    design = np.column_stack([color, np.ones(40)])
    residual = features - design @ np.linalg.lstsq(design, features, rcond=None)[0]
    expected = 1 - (residual**2).sum() / ((features - features.mean(axis=0)) ** 2).sum()
    assert 0.2 < expected < 0.8
    found = color_r2(torch.from_numpy(features).float(), torch.from_numpy(color).float())
    assert found == pytest.approx(expected, abs=1e-5)


def test_r2_of_gray_images_and_of_what_has_none() -> None:
    gray = torch.arange(10.0)[:, None].expand(10, 3)
    straight = torch.stack([gray[:, 0], -2 * gray[:, 0]], dim=1)
    assert color_r2(straight, gray) == pytest.approx(1.0)
    # x² - 9 x + 12 is orthogonal to 1 and x on 0 ... 9.
    assert color_r2((gray[:, :1] - 4.5) ** 2, gray) == pytest.approx(0.0, abs=1e-9)
    assert color_r2(straight, torch.ones(10, 3)) == 0.0, "one color explains nothing"
    assert math.isnan(color_r2(torch.ones(10, 2), gray))
    assert math.isnan(color_r2(straight[:4], gray[:4]))


def test_colors_are_those_of_the_pixels_in_a_box() -> None:
    pixels = torch.zeros(1, 4, 6, 3, dtype=torch.uint8)
    pixels[0, :, :, 0] = torch.arange(6) * 10
    pixels[0, :, :, 1] = torch.arange(4)[:, None] * 20
    # Columns 1 to 3 and rows 0 and 1; columns 2 and 3 (centers 2.5, 3.5) and row 1; within pixel (5, 3); all.
    boxes = torch.tensor([[1.0, 0, 4, 2], [1.6, 0.7, 4.2, 2.4], [5.6, 3.6, 5.9, 3.9], [0, 0, 6, 4]])
    found = mean_colors(HeldOut(pixels, (boxes,)))
    expected = [[20.0, 10, 0], [25, 20, 0], [50, 60, 0], [25, 30, 0]]
    torch.testing.assert_close(found, torch.tensor(expected))
    assert mean_colors(HeldOut(pixels[:0], ())).shape == (0, 3)


def test_what_is_not_a_number_is_not_logged() -> None:
    pixels = torch.randint(0, 256, (2, 8, 8, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    boxes = torch.tensor([[0.0, 0, 4, 4], [2, 2, 8, 8], [1, 0, 7, 3], [0, 4, 8, 8], [4, 4, 8, 8], [0, 0, 8, 2]])
    held = HeldOut(pixels, (boxes, boxes))
    features = torch.randn(12, 4, generator=torch.Generator().manual_seed(0))
    assert measure_head(features, held, mean_colors(held)).keys() == {"head_same_image", "head_color_r2"}
    few = HeldOut(pixels, (boxes[:3], boxes[:3]))
    assert measure_head(features[:6], few, mean_colors(few)).keys() == {"head_color_r2"}
