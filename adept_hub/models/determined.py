"""Fields of the architecture that the parts of a checkpoint determine; the others are defaults without a meaning."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from adept_hub.spec import DetectorSpec

#: Field of a spec -> the parts that determine it.
DETERMINED_BY: Mapping[str, tuple[str, ...]] = {
    "depth": ("backbone", "fpn"), "norm": ("backbone", "fpn", "head"), "fpn_channels": ("fpn", "rpn", "head"),
    "head_conv_channels": ("head",), "head_fc_channels": ("head",), "levels.upper": ("fpn", "head"),
    "anchors.sizes": ("rpn",), "anchors.ratios": ("rpn",), "anchors.generator": ("rpn",), "rpn_convs": ("rpn",),
    "head": ("head",), "pooling": ("head",), "backbone_norm": ("backbone",), "fpn_norm": ("fpn",),
    "head_norm": ("head",), "stride_in_1x1": ("backbone",),
}  # fmt: skip


def determines(parts: Iterable[str], field: str) -> bool:
    """Check whether one of the parts determines a field of the architecture."""
    return bool(set(parts) & set(DETERMINED_BY[field]))


def completed(own: DetectorSpec, parts: Iterable[str], rest: DetectorSpec) -> DetectorSpec:
    """Return the architecture ``own`` of a checkpoint's ``parts``, with what they do not determine from ``rest``."""
    free = {field.partition(".")[0] for field in DETERMINED_BY if not determines(parts, field)}
    return replace(own, **{name: getattr(rest, name) for name in free})
