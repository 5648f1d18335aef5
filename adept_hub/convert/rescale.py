"""RPN deltas for anchors of another size: the same boxes, exactly."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from adept_hub.errors import UnsupportedDetectorError
from adept_hub.spec import DetectorSpec

if TYPE_CHECKING:
    from torch import Tensor


def anchor_ratio(spec: DetectorSpec, sizes: tuple[float, ...]) -> float | None:
    """Return how many times larger the anchors of ``spec`` are than those of ``sizes``; None if levels differ in it."""
    ratios = [a / b for a, b in zip(spec.anchors.sizes, sizes, strict=False)]
    return ratios[0] if all(math.isclose(ratio, ratios[0], rel_tol=1e-6) for ratio in ratios) else None


def rescale_anchors(tensors: Mapping[str, Tensor], spec: DetectorSpec, sizes: tuple[float, ...]) -> dict[str, Tensor]:
    """Canonical tensors whose RPN decodes on anchors of ``sizes`` the boxes it decoded on those of ``spec``.

    A box is decoded as center + d_xy * size and size * exp(d_wh). On anchors that are 1 / r times larger (r = 24 / 32
    by default) the same box needs d_xy * r and d_wh + ln r; both are linear in the last layer's output, so the rows of
    dx and dy are multiplied (weight and bias) and ln r is added to the bias of dw and dh. Objectness stays as it is:
    it was learned for the smaller anchors and has no such remedy.

    Args:
        tensors: canonical, with the part ``rpn``.
        spec: with the pre-training anchors.
        sizes: of the anchors downstream, for the same levels first.

    Raises:
        UnsupportedDetectorError: the levels differ by different factors, which one shared layer cannot express.
    """
    if "rpn.bbox_pred.weight" not in tensors:
        return dict(tensors)
    ratio = anchor_ratio(spec, sizes)
    if ratio is None:
        raise UnsupportedDetectorError(
            f"Anchors of {spec.anchors.sizes} cannot be rescaled to {sizes}: the factor differs between levels, and "
            "the RPN's last layer is shared by them all.\nTake the pre-training anchors instead: anchors='pretraining'"
        )
    weight, bias = tensors["rpn.bbox_pred.weight"].clone(), tensors["rpn.bbox_pred.bias"].clone()
    for rows in (slice(0, None, 4), slice(1, None, 4)):
        weight[rows] *= ratio
        bias[rows] *= ratio
    for rows in (slice(2, None, 4), slice(3, None, 4)):
        bias[rows] += math.log(ratio)
    return {**tensors, "rpn.bbox_pred.weight": weight, "rpn.bbox_pred.bias": bias}
