"""Adapt RPN deltas to anchors of another size so that the boxes stay exactly the same."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from adept_hub.errors import UnsupportedDetectorError
from adept_hub.spec import DetectorSpec

if TYPE_CHECKING:
    from torch import Tensor


def anchor_ratio(spec: DetectorSpec, sizes: tuple[float, ...]) -> float | None:
    """Return the ratio of the anchors of ``spec`` to those of ``sizes``; None if it differs between levels.

    It also differs if anchors of other sizes are rounded to whole pixels.
    """
    ratios = [a / b for a, b in zip(spec.anchors.sizes, sizes, strict=False)]
    rounded = spec.anchors.generator != "exact" and not math.isclose(ratios[0], 1, rel_tol=1e-6)
    same = not rounded and all(math.isclose(ratio, ratios[0], rel_tol=1e-6) for ratio in ratios)
    return ratios[0] if same else None


def rescale_anchors(tensors: Mapping[str, Tensor], spec: DetectorSpec, sizes: tuple[float, ...]) -> dict[str, Tensor]:
    """Adapt the RPN so that it decodes the same boxes on anchors of ``sizes`` as on those of ``spec``.

    A box is decoded as center + d_xy * size and size * exp(d_wh). On anchors that are 1 / r times larger (r = 24 / 32
    by default) the same box needs d_xy * r and d_wh + ln r; both are linear in the last layer's output, so the rows of
    dx and dy are multiplied (weight and bias) and ln r is added to the bias of dw and dh. Objectness is unchanged: it
    was learned for the smaller anchors and cannot be adapted in this way.

    Args:
        tensors: canonical tensors, including those of the ``rpn``.
        spec: the spec with the pre-training anchors.
        sizes: sizes of the downstream anchors, beginning with the same levels.

    Raises:
        UnsupportedDetectorError: the ratio differs between levels, which share one layer.
    """
    if "rpn.bbox_pred.weight" not in tensors:
        return dict(tensors)
    ratio = anchor_ratio(spec, sizes)
    if ratio is None:
        raise UnsupportedDetectorError(
            f"Anchors of {spec.anchors.sizes} cannot be rescaled to {sizes}: the factor differs between levels, and "
            "the RPN's last layer is shared by all levels.\nUse the pre-training anchors: anchors='pretraining'"
        )
    if ratio == 1:
        return dict(tensors)
    weight, bias = tensors["rpn.bbox_pred.weight"].clone(), tensors["rpn.bbox_pred.bias"].clone()
    for rows in (slice(0, None, 4), slice(1, None, 4)):
        weight[rows] *= ratio
        bias[rows] *= ratio
    for rows in (slice(2, None, 4), slice(3, None, 4)):
        bias[rows] += math.log(ratio)
    return {**tensors, "rpn.bbox_pred.weight": weight, "rpn.bbox_pred.bias": bias}
