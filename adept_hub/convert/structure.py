"""Read a detector's structure from the names and shapes of its tensors, without any class of a framework."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

Shapes = Mapping[str, tuple[int, ...]]
NormKind = Literal["BN", "FrozenBN", "GN", "none"]

#: Number of blocks in stage 3 and whether they are bottlenecks -> depth. The number differs between all usual ResNets
#: but 34 and 50, which have different kinds of block.
_DEPTHS = {(2, False): 18, (6, False): 34, (6, True): 50, (23, True): 101, (36, True): 152}


@dataclass(frozen=True)
class Structure:
    """Facts about one detector; None if its tensors do not determine them."""

    depth: int | None
    backbone_norm: NormKind
    fpn_norm: NormKind
    fpn_channels: int | None
    fpn_extra_convs: bool
    rpn_convs: int
    rpn_channels: int | None
    anchors: int | None
    rpn_softmax: bool
    head_convs: int
    head_fcs: int
    head_norm: NormKind
    head_conv_channels: int | None
    head_fc_channels: int | None
    stages: int


@dataclass(frozen=True)
class Layout:
    """Names of the modules from which a framework's structure is read; patterns are regular expressions.

    Attributes:
        parts: pattern of the keys of each pre-trained part, predictors and buffers excluded.
        block: pattern of a convolution of stage 3: block, convolution.
        stem_norm, fpn_conv, fpn_norm: modules; the FPN's on the finest level.
        fpn_extra: pattern of convolutions beyond P5.
        rpn_conv: pattern of a hidden convolution's weight.
        rpn_cls, rpn_reg: modules.
        head_conv, head_fc, head_norm: patterns of a weight inside a box head: number.
        box_head: prefix of the box head; the number of a stage may follow.
    """

    parts: Mapping[str, str]
    block: str
    stem_norm: tuple[str, ...]
    fpn_conv: str
    fpn_norm: tuple[str, ...]
    fpn_extra: str
    rpn_conv: str
    rpn_cls: str
    rpn_reg: str
    head_conv: str
    head_fc: str
    head_norm: str
    box_head: str


def part_of_key(key: str, layout: Layout) -> str | None:
    """Return the pre-trained part that a framework's key belongs to, if any."""
    parts = layout.parts.items()
    return next((part for part, pattern in parts if re.fullmatch(pattern, key)), None)


def read_structure(shapes: Shapes, layout: Layout) -> Structure:
    """Return the structure of a detector from the shapes of its tensors, under its framework's own keys."""
    fpn, cls, reg = (shapes.get(f"{m}.weight") for m in (layout.fpn_conv, layout.rpn_cls, layout.rpn_reg))
    rpn_convs = [key for key in shapes if re.fullmatch(layout.rpn_conv, key)]
    heads, stages = _box_head(shapes, layout)
    convs = {k: s for k, s in heads.items() if re.fullmatch(layout.head_conv, k) and len(s) == 4}
    fcs = {k: s for k, s in heads.items() if re.fullmatch(layout.head_fc, k) and len(s) == 2}
    anchors = reg[0] // 4 if reg else None
    return Structure(
        depth=read_depth(shapes, layout.block),
        backbone_norm=_norm(shapes, layout.stem_norm),
        fpn_norm=_norm(shapes, layout.fpn_norm),
        fpn_channels=fpn[0] if fpn else None,
        fpn_extra_convs=any(re.fullmatch(layout.fpn_extra, key) for key in shapes),
        rpn_convs=len(rpn_convs),
        rpn_channels=shapes[rpn_convs[0]][0] if rpn_convs else None,
        anchors=anchors,
        rpn_softmax=bool(cls and anchors and cls[0] == 2 * anchors),
        head_convs=len(convs),
        head_fcs=len(fcs),
        head_norm=_norm(heads, [k.rpartition(".")[0] for k in heads if re.match(rf"{layout.head_norm}\.", k)]),
        head_conv_channels=next(iter(convs.values()))[0] if convs else None,
        head_fc_channels=next(iter(fcs.values()))[0] if fcs else None,
        stages=stages,
    )


def read_depth(shapes: Shapes, block: str) -> int | None:
    """Return a ResNet's depth from the convolutions of its third stage; None if it is not one of a usual depth.

    Args:
        shapes: the tensors.
        block: pattern of a convolution's weight in the third stage, with the groups block and convolution.
    """
    convs = [match.groups() for key in shapes if (match := re.fullmatch(block, key))]
    if not convs:
        return None
    return _DEPTHS.get((1 + max(int(b) for b, _ in convs), any(c == "3" for _, c in convs)))


def _norm(shapes: Shapes, modules: Iterable[str]) -> NormKind:
    for module in modules:
        if f"{module}.running_mean" in shapes:
            return "BN" if f"{module}.num_batches_tracked" in shapes else "FrozenBN"
        if f"{module}.weight" in shapes:
            return "GN"
    return "none"


def _box_head(shapes: Shapes, layout: Layout) -> tuple[dict[str, tuple[int, ...]], int]:
    """Return the tensors of the (first) box head by their keys inside it, and the number of heads or stages."""
    inside = {k.removeprefix(layout.box_head): s for k, s in shapes.items() if re.fullmatch(layout.parts["head"], k)}
    # By rank as well as by name: torchvision's "0.1.weight" is a norm, its "0.5.weight" the fc layer of stage 0.
    kinds = ((layout.head_conv, 4), (layout.head_fc, 2))
    stages = {
        key.split(".")[0]
        for key, shape in inside.items()
        if any(len(shape) == rank and re.fullmatch(rf"\d+\.{pattern}", key) for pattern, rank in kinds)
    }
    if not stages:
        return inside, 1
    return {k.removeprefix("0."): s for k, s in inside.items() if k.startswith("0.")}, len(stages)
