"""Colors against torchvision's functions, sample by sample.

Legend: N images, C channels, H x W pixels.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.transforms import functional as TF

from adept_hub.spec import Preprocessing
from adept_training.data.photometric import Colors, PhotometricRecipe, apply_colors, draw_colors, gaussian_blur

PLAIN = Preprocessing(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


def _pixels(count: int, side: int = 24) -> torch.Tensor:
    return torch.randint(0, 256, (count, side, side, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def _colors(count: int, **changes: torch.Tensor) -> Colors:
    base = Colors(
        torch.tensor([1.0, 1, 1, 0]).repeat(count, 1), torch.arange(4).repeat(count, 1), torch.zeros(count).bool(),
        torch.zeros(count), torch.zeros(count).bool(), torch.zeros(count, 4, 4),
    )  # fmt: skip
    return base._replace(**changes)


def test_each_sample_gets_its_own_jitter_in_its_own_order() -> None:
    generator = torch.Generator().manual_seed(1)
    count = 12
    pixels = _pixels(count)
    factors = torch.rand(count, 4, generator=generator) + torch.tensor([0.5, 0.5, 0.5, -0.5])
    factors[:, 3] *= 0.2
    order = torch.stack([torch.randperm(4, generator=generator) for _ in range(count)])
    ours = apply_colors(pixels, _colors(count, factors_4=factors, order_4=order), PLAIN)
    functions = (TF.adjust_brightness, TF.adjust_contrast, TF.adjust_saturation, TF.adjust_hue)
    for n in range(count):
        image = pixels[n].permute(2, 0, 1).float() / 255
        for operation in order[n].tolist():
            image = functions[operation](image, factors[n, operation].item())
        torch.testing.assert_close(ours[n], image, atol=2e-4, rtol=0)


def test_gray_solarize_and_normalize() -> None:
    pixels = _pixels(4)
    gray, solarize = torch.tensor([True, False, True, False]), torch.tensor([False, False, True, True])
    ours = apply_colors(pixels, _colors(4, gray=gray, solarize=solarize), Preprocessing())
    for n in range(4):
        image = pixels[n].permute(2, 0, 1)
        exact = image.float() / 255
        exact = TF.rgb_to_grayscale(exact, 3) if gray[n] else exact
        if solarize[n]:
            exact = TF.solarize(exact, 128 / 255)
        expected = TF.normalize(exact, list(Preprocessing().mean), list(Preprocessing().std))
        torch.testing.assert_close(ours[n], expected, atol=1e-5, rtol=0)
    assert ours.is_contiguous(memory_format=torch.channels_last)


def test_solarize_begins_at_128_as_in_pil() -> None:
    from PIL import Image, ImageOps

    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16)
    pixels = torch.from_numpy(np.repeat(ramp[None, :, :, None], 3, axis=3))
    ours = apply_colors(pixels, _colors(1, solarize=torch.tensor([True])), PLAIN)
    expected = np.asarray(ImageOps.solarize(Image.fromarray(ramp), 128))
    np.testing.assert_array_equal((ours[0, 0] * 255).round().numpy(), expected)


@pytest.mark.parametrize("sigma", [0.1, 0.5, 1.3, 2.0])
def test_blur_is_torchvisions_gaussian(sigma: float) -> None:
    images = _pixels(2).permute(0, 3, 1, 2).float() / 255
    ours = gaussian_blur(images, torch.tensor([sigma, 2.0]))
    # torchvision reflects without repeating the edge; 17 taps hold four standard deviations.
    torch.testing.assert_close(ours[0], TF.gaussian_blur(images[0], [17, 17], [sigma, sigma]), atol=2e-3, rtol=0)
    torch.testing.assert_close(ours[1], TF.gaussian_blur(images[1], [17, 17], [2.0, 2.0]), atol=2e-3, rtol=0)


def test_each_sample_of_a_batch_is_blurred_by_its_own_sigma() -> None:
    pixels, sigma = _pixels(3), torch.tensor([0.5, 0.0, 2.0])
    images = pixels.permute(0, 3, 1, 2).float() / 255
    ours = apply_colors(pixels, _colors(3, sigma=sigma), PLAIN)
    assert torch.equal(ours[1], images[1])
    for at in (0, 2):
        wanted = TF.gaussian_blur(images[at], [17, 17], [float(sigma[at])] * 2)
        torch.testing.assert_close(ours[at], wanted, atol=2e-3, rtol=0)


def test_a_blur_of_a_constant_is_that_constant() -> None:
    images = torch.full((1, 3, 9, 13), 0.7)
    torch.testing.assert_close(gaussian_blur(images, torch.tensor([2.0])), images)


def test_holes_are_zero_after_normalizing_and_nowhere_else() -> None:
    pixels = _pixels(2) // 2 + 100
    holes = torch.zeros(2, 4, 4)
    holes[1, 2] = torch.tensor([3.0, 5.0, 9.0, 6.0])
    with_holes = apply_colors(pixels, _colors(2, holes_K4=holes), Preprocessing())
    without = apply_colors(pixels, _colors(2), Preprocessing())
    assert torch.equal(with_holes[0], without[0])
    assert (with_holes[1, :, 5:6, 3:9] == 0).all()
    kept = torch.ones(24, 24, dtype=torch.bool)
    kept[5:6, 3:9] = False
    assert torch.equal(with_holes[1][:, kept], without[1][:, kept])


def test_parameters_follow_their_probabilities() -> None:
    rng, recipe, boxes = (
        np.random.default_rng(0),
        PhotometricRecipe(cutout_prob=0.5),
        np.array([[10, 10, 60, 90]] * 4, "f4"),
    )
    count = 2000
    drawn = [[draw_colors(rng, recipe, view, boxes, 112) for _ in range(count)] for view in range(2)]
    for view, (blur, solarize) in enumerate(((1.0, 0.0), (0.1, 0.2))):
        assert np.mean([c.gray for c in drawn[view]]) == pytest.approx(0.2, abs=0.03)
        assert np.mean([c.sigma > 0 for c in drawn[view]]) == pytest.approx(blur, abs=0.03)
        assert np.mean([c.solarize for c in drawn[view]]) == pytest.approx(solarize, abs=0.03)
        factors = np.array([c.factors_4 for c in drawn[view]])
        jittered = (factors != [1, 1, 1, 0]).any(axis=1)
        assert jittered.mean() == pytest.approx(0.8, abs=0.03)
        low, high = factors[jittered].min(axis=0), factors[jittered].max(axis=0)
        np.testing.assert_allclose(low, [0.6, 0.6, 0.8, -0.1], atol=0.01)
        np.testing.assert_allclose(high, [1.4, 1.4, 1.2, 0.1], atol=0.01)
    assert not any(np.asarray(c.holes_K4).any() for c in drawn[0]), "V1 has no holes"
    holes = np.concatenate([np.asarray(c.holes_K4) for c in drawn[1]])
    cut = holes[:, 2] > holes[:, 0]
    assert cut.mean() == pytest.approx(0.5, abs=0.03)
    areas = ((holes[:, 2] - holes[:, 0]) * (holes[:, 3] - holes[:, 1]))[cut & (holes.min(axis=1) > 0)]
    assert 0.05 < areas.min() / 4000 < areas.max() / 4000 < 0.36
    assert holes.max() <= 112
