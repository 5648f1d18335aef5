"""Images that shrink on their way into the detector are averaged as PIL averages them; the rest is torchvision's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.models.detection.transform import GeneralizedRCNNTransform

from adept_hub.models.transform import AntialiasedTransform

FACTS = ([0.1, 0.2, 0.3], [0.4, 0.5, 0.6])


def _image(height: int, width: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, height, width), np.uint8))


def _both(side: int | tuple[int, ...] = 48, longest: int = 70, **options):
    return [kind(side, longest, *FACTS, **options).eval() for kind in (AntialiasedTransform, GeneralizedRCNNTransform)]


@pytest.mark.parametrize(("height", "width"), [(120, 160), (97, 233), (200, 61)])
def test_a_smaller_image_is_pil_s(height: int, width: int) -> None:
    pixels, (ours, torchvision_s) = _image(height, width), _both()
    found, expected = ours.resize(pixels / 255)[0], torchvision_s.resize(pixels / 255)[0]
    assert found.shape == expected.shape
    picture = Image.fromarray(pixels.permute(1, 2, 0).numpy())
    pil = picture.resize((found.shape[2], found.shape[1]), Image.Resampling.BILINEAR)
    difference = (found.permute(1, 2, 0) * 255 - torch.from_numpy(np.asarray(pil).copy())).abs()
    assert float(difference.max()) <= 1.01, "PIL rounds after each of its two passes"
    # What the change is for: without it neighboring pixels differ far more.
    sharp, smooth = (float(x.diff(dim=2).abs().mean()) for x in (expected, found))
    assert sharp > 1.5 * smooth


@pytest.mark.parametrize(("height", "width"), [(30, 40), (48, 64), (24, 70)])
def test_an_image_that_does_not_shrink_is_torchvision_s(height: int, width: int) -> None:
    pixels, (ours, torchvision_s) = _image(height, width) / 255, _both()
    torch.testing.assert_close(ours.resize(pixels)[0], torchvision_s.resize(pixels)[0], rtol=0, atol=1e-6)


@pytest.mark.parametrize("training", [True, False])
def test_targets_sizes_and_padding_are_torchvision_s(training: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    images = [_image(60, 80) / 255, _image(133, 90) / 255]
    masks = [torch.randint(0, 2, (2, *x.shape[1:]), generator=generator, dtype=torch.uint8) for x in images]
    targets = [{"boxes": torch.tensor([[1.0, 2, 50, 60], [5, 5, 9, 30]]), "masks": mask} for mask in masks]
    found = []
    for transform in _both((32, 40, 48, 56), size_divisible=24):
        transform.train(training)
        torch.manual_seed(1)
        copies = [dict(target) for target in targets]
        found.append(transform([x.clone() for x in images], copies))
    (ours, our_targets), (theirs, their_targets) = found
    assert ours.image_sizes == theirs.image_sizes
    assert ours.tensors.shape == theirs.tensors.shape
    for one, two in zip(our_targets, their_targets, strict=True):
        torch.testing.assert_close(one["boxes"], two["boxes"])
        assert torch.equal(one["masks"], two["masks"])
