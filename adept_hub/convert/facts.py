"""Facts about a configured detector, in common terms for all frameworks.

Reading them needs no framework, except for MMDetection's Python configs, which only MMEngine can resolve.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Config = Mapping[str, Any]
IMAGENET_MEAN, IMAGENET_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


@dataclass(frozen=True)
class Facts:
    """A detector as configured; None: not specified. ``mean`` and ``std`` are for 0-255 pixels in ``channel_order``."""

    channel_order: str | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    depth: int | None = None
    stride_in_1x1: bool | None = None
    backbone_norm: str | None = None
    frozen_stages: int | None = None
    norm_eval: bool | None = None
    fpn_norm: str | None = None
    fpn_channels: int | None = None
    p6: str | None = None
    rpn_convs: int | None = None
    rpn_softmax: bool | None = None
    anchor_sizes: tuple[tuple[float, ...], ...] | None = None
    anchor_ratios: tuple[float, ...] | None = None
    anchors_rounded: bool | None = None
    head_convs: int | None = None
    head_fcs: int | None = None
    head_conv_channels: int | None = None
    head_fc_channels: int | None = None
    head_norm: str | None = None
    roi_aligned: bool | None = None
    roi_sampling: int | None = None
    #: Minimum square-root area (px) of the boxes that are pooled from P4.
    p4_from: float | None = None


def merge(base: Config, over: Config) -> dict[str, Any]:
    """Merge ``over`` into ``base``, mapping by mapping."""
    merged = dict(base)
    for key, item in over.items():
        old = merged.get(key)
        merged[key] = merge(old, item) if isinstance(old, Mapping) and isinstance(item, Mapping) else item
    return merged


def value(item: Any) -> Any:
    """Parse a value that Detectron2's YAML may also write as a string: "(1, 2)"."""
    return ast.literal_eval(item) if isinstance(item, str) else item


def numbers(values: Any) -> tuple[float, ...]:
    """Return the values of a tensor of any shape, such as a mean per channel."""
    return tuple(float(x) for x in values.flatten().tolist())
