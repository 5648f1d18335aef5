"""Colors, blur, solarization and cutout, on the device, in batches, with separate parameters per sample.

The parameters are drawn together with the views (on the CPU, from the sample's generator) and only applied here, so
the result does not depend on batch, worker or device order.

Legend: N images, C = 3 channels, H x W pixels, K boxes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from adept_hub.io.schema import Range
from adept_hub.spec import Preprocessing
from adept_training.data.constants import constant

_LUMA = (0.2989, 0.587, 0.114)

Share = Annotated[float, Range(0.0, 1.0)]
Change = Annotated[float, Range(0.0, 10.0)]
Sigma = Annotated[float, Range(0.0, 100.0)]


@dataclass(frozen=True)
class PhotometricRecipe:
    """SoCo's colors (BYOL's asymmetric pair); three values are those of V1, V2 and V3."""

    #: Largest change of brightness, contrast, saturation and hue.
    jitter: tuple[Change, Change, Change, Annotated[float, Range(0.0, 0.5)]] = (0.4, 0.4, 0.2, 0.1)
    #: Probability of the color jitter.
    jitter_prob: Share = 0.8
    #: Probability of a gray image.
    gray_prob: Share = 0.2
    #: Probability of the blur, per view.
    blur_prob: tuple[Share, Share, Share] = (1.0, 0.1, 0.1)
    #: Standard deviation of the blur in pixels of the view, least and most.
    blur_sigma: tuple[Sigma, Sigma] = (0.1, 2.0)
    #: Probability of inverting bright pixels, per view.
    solarize_prob: tuple[Share, Share, Share] = (0.0, 0.2, 0.2)
    #: Probability for each box of V2 and V3 of a square hole (SoCo's 100-epoch FPN recipe: 0.5).
    cutout_prob: Share = 0.0
    #: Area of the hole as a fraction of its box's, least and most.
    cutout_ratio: tuple[Share, Share] = (0.1, 0.3)


class Colors(NamedTuple):
    """Parameters of one view: arrays for one sample, tensors with a leading N for a batch."""

    factors_4: npt.NDArray[np.float32] | Tensor
    order_4: npt.NDArray[np.int64] | Tensor
    gray: npt.NDArray[np.bool_] | Tensor
    sigma: npt.NDArray[np.float32] | Tensor
    solarize: npt.NDArray[np.bool_] | Tensor
    holes_K4: npt.NDArray[np.float32] | Tensor


def draw_colors(
    rng: np.random.Generator, recipe: PhotometricRecipe, view: int, boxes_K4: npt.NDArray[np.float32], size: int
) -> Colors:
    """Draw the parameters of one view (0, 1 or 2) with ``size`` pixels per side, whose boxes may get holes."""
    low_high = [(max(0.0, 1 - j), 1 + j) for j in recipe.jitter[:3]] + [(-recipe.jitter[3], recipe.jitter[3])]
    factors = np.array([rng.uniform(*bounds) for bounds in low_high], dtype=np.float32)
    if rng.random() >= recipe.jitter_prob:
        factors = np.array([1, 1, 1, 0], dtype=np.float32)
    order = rng.permutation(4)
    gray = rng.random() < recipe.gray_prob
    sigma = rng.uniform(*recipe.blur_sigma)
    if rng.random() >= recipe.blur_prob[view]:
        sigma = 0.0
    solarize = rng.random() < recipe.solarize_prob[view]
    holes = _draw_holes(rng, recipe, boxes_K4, size) if view > 0 else np.zeros((len(boxes_K4), 4), dtype=np.float32)
    return Colors(factors, order, np.bool_(gray), np.float32(sigma), np.bool_(solarize), holes)  # type: ignore[arg-type]  # 0-d


class ColorPlan(NamedTuple):
    """Samples that each operation changes. The counts are plain numbers, so that they need no synchronization."""

    #: Rows of the batch, int64: those of brightness, contrast, saturation and hue, at each of four positions, then
    #: those to blur.
    rows_R: Tensor
    counts: tuple[int, ...]
    holes: bool


def plan_colors(colors: Colors) -> ColorPlan:
    """Make the plan of a batch's parameters, before they are moved to a device."""
    factors, order = _tensor(colors.factors_4), _tensor(colors.order_4)
    active_N = ~(factors == constant((1.0, 1.0, 1.0, 0.0), factors)).all(dim=1)
    masks = [active_N & (order[:, position] == operation) for position in range(4) for operation in range(4)]
    rows = [torch.nonzero(mask).flatten() for mask in [*masks, _tensor(colors.sigma) > 0]]
    return ColorPlan(torch.cat(rows), tuple(map(len, rows)), bool(_tensor(colors.holes_K4).any()))


def apply_colors(
    pixels_NHWC: Tensor, colors: Colors, preprocessing: Preprocessing, plan: ColorPlan | None = None
) -> Tensor:
    """Convert uint8 pixels to normalized, augmented float32 images (N, C, H, W), channels last in memory.

    The order is SoCo's: jitter in each sample's own order, gray, blur, solarize at 128, normalize, holes of zero.

    Args:
        pixels_NHWC: uint8, or float in 0-255.
        colors: parameters of each sample.
        preprocessing: mean and standard deviation.
        plan: from `plan_colors`; without it, it is made, which waits for a GPU.
    """
    plan = plan or plan_colors(colors)
    x_NCHW = pixels_NHWC.permute(0, 3, 1, 2).to(torch.get_default_dtype()) / 255
    rows_17R = torch.split(plan.rows_R.to(x_NCHW.device), list(plan.counts))
    factors = _tensor(colors.factors_4).to(x_NCHW)
    for step, rows in enumerate(rows_17R[:-1]):
        if len(rows):
            operation = step % 4
            change = (_brightness, _contrast, _saturation, _hue)[operation]
            x_NCHW[rows] = change(x_NCHW[rows], factors[rows, operation][:, None, None, None])
    device = x_NCHW.device
    gray_N111 = _tensor(colors.gray).to(device)[:, None, None, None]
    x_NCHW = torch.where(gray_N111, _luma(x_NCHW), x_NCHW)
    rows = rows_17R[-1]
    if len(rows):
        sigma_N = _tensor(colors.sigma).to(x_NCHW)[rows]
        x_NCHW[rows] = gaussian_blur(x_NCHW[rows], sigma_N)
    solarize_N111 = _tensor(colors.solarize).to(device)[:, None, None, None]
    x_NCHW = torch.where(solarize_N111 & (x_NCHW >= 128 / 255), 1 - x_NCHW, x_NCHW)
    mean = constant(tuple(preprocessing.mean), x_NCHW)[:, None, None]
    std = constant(tuple(preprocessing.std), x_NCHW)[:, None, None]
    x_NCHW = (x_NCHW - mean) / std
    if plan.holes:
        x_NCHW = _cut_holes(x_NCHW, _tensor(colors.holes_K4))
    return x_NCHW.contiguous(memory_format=torch.channels_last)


def gaussian_blur(x_NCHW: Tensor, sigma_N: Tensor) -> Tensor:
    """Blur each image with its own standard deviation in pixels, edges reflected.

    A blur is two small matrix products, rows and columns, which is fast on every device with a sigma per sample.
    """
    rows_NHH = _blur_matrix(sigma_N, x_NCHW.shape[2])
    columns_NWW = rows_NHH if x_NCHW.shape[2] == x_NCHW.shape[3] else _blur_matrix(sigma_N, x_NCHW.shape[3])
    with torch.autocast(x_NCHW.device.type, enabled=False):
        return rows_NHH[:, None] @ x_NCHW @ columns_NWW[:, None].transpose(2, 3)


def _blur_matrix(sigma_N: Tensor, size: int) -> Tensor:
    """Return the matrices (N, size, size) that blur a column; the border is reflected without repeating the edge."""
    place = torch.arange(size, device=sigma_N.device)
    distance = (place[:, None] - place[None, :]).to(sigma_N.dtype)
    inverse_N11 = 1 / (2 * sigma_N.square())[:, None, None]

    def bell(offset: Tensor) -> Tensor:
        return torch.exp(-offset.square() * inverse_N11)

    total = (place[:, None] + place[None, :]).to(sigma_N.dtype)
    weight = bell(distance)
    weight = weight + bell(total) * (place > 0) + bell(2 * (size - 1) - total) * (place < size - 1)
    return weight / weight.sum(dim=2, keepdim=True)


def _brightness(x_NCHW: Tensor, amount_N111: Tensor) -> Tensor:
    return (x_NCHW * amount_N111).clamp(0, 1)


def _contrast(x_NCHW: Tensor, amount_N111: Tensor) -> Tensor:
    mean = _luma(x_NCHW).mean(dim=(2, 3), keepdim=True)
    return (mean + (x_NCHW - mean) * amount_N111).clamp(0, 1)


def _saturation(x_NCHW: Tensor, amount_N111: Tensor) -> Tensor:
    gray = _luma(x_NCHW)
    return (gray + (x_NCHW - gray) * amount_N111).clamp(0, 1)


def _hue(x_NCHW: Tensor, amount_N111: Tensor) -> Tensor:
    """Rotate the hue of HSV by a fraction of the circle, preserving value and chroma."""
    high, index = x_NCHW.max(dim=1)
    chroma = high - x_NCHW.amin(dim=1)
    r, g, b = x_NCHW.unbind(dim=1)
    safe = torch.where(chroma > 0, chroma, torch.ones_like(chroma))
    sector = torch.where(index == 0, (g - b) / safe, torch.where(index == 1, (b - r) / safe + 2, (r - g) / safe + 4))
    hue = sector + 6 * amount_N111[:, 0]
    shifts = constant((5.0, 3.0, 1.0), hue)[:, None, None]
    k = (hue[:, None] + shifts) % 6
    return high[:, None] - chroma[:, None] * torch.minimum(k, 4 - k).clamp(0, 1)


def _luma(x_NCHW: Tensor) -> Tensor:
    r, g, b = x_NCHW.unbind(dim=1)
    return (_LUMA[0] * r + _LUMA[1] * g + _LUMA[2] * b)[:, None]


def _draw_holes(
    rng: np.random.Generator, recipe: PhotometricRecipe, boxes_K4: npt.NDArray[np.float32], size: int
) -> npt.NDArray[np.float32]:
    """Draw squares of 10-30 % of a box's area around a point in it, in whole pixels of the view; empty if unused."""
    count = len(boxes_K4)
    use_K, area_K, at_K2 = rng.random(count), rng.uniform(*recipe.cutout_ratio, count), rng.random((count, 2))
    wh_K2 = boxes_K4[:, 2:] - boxes_K4[:, :2]
    half_K = np.round(np.sqrt(area_K * wh_K2.prod(axis=1))) // 2
    center_K2 = np.floor(boxes_K4[:, :2] + at_K2 * wh_K2)
    holes = np.concatenate([center_K2 - half_K[:, None], center_K2 + half_K[:, None] + 1], axis=1).clip(0, size)
    return np.where((use_K < recipe.cutout_prob)[:, None], holes, 0).astype(np.float32)


def _cut_holes(x_NCHW: Tensor, holes_NK4: Tensor) -> Tensor:
    x1, y1, x2, y2 = holes_NK4.to(x_NCHW.device).unbind(dim=2)
    column = torch.arange(x_NCHW.shape[3], device=x_NCHW.device)
    row = torch.arange(x_NCHW.shape[2], device=x_NCHW.device)
    inside_NKW = (column >= x1[..., None]) & (column < x2[..., None])
    inside_NKH = (row >= y1[..., None]) & (row < y2[..., None])
    hole_N1HW = (inside_NKH[..., :, None] & inside_NKW[..., None, :]).any(dim=1, keepdim=True)
    return x_NCHW.masked_fill(hole_N1HW, 0.0)


def _tensor(value: npt.NDArray[np.generic] | Tensor) -> Tensor:
    return value if isinstance(value, Tensor) else torch.as_tensor(value)
