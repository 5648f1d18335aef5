"""Whose model is this: framework, detector and wrapper, recognized by the names of its tensors."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from adept_hub.arguments.calls import checked
from adept_hub.convert.options import Detector, Framework
from adept_hub.errors import UnsupportedModelError

#: A key that every detector of the framework has, whatever its options.
MARKERS: Mapping[Framework, str] = {
    "torchvision": r"backbone\.body\.conv1\.weight",
    "detectron2": r"backbone\.bottom_up\.stem\.conv1\.weight",
    "mmdet": r"backbone\.conv1\.weight",
}
#: ... and one that tells a two-stage detector with an FPN from the framework's others.
_TWO_STAGE: Mapping[Framework, tuple[str, ...]] = {
    "torchvision": (r"backbone\.fpn\..*", r"rpn\.head\..*", r"roi_heads\.box_head\..*"),
    "detectron2": (r"backbone\.fpn_.*", r"proposal_generator\.rpn_head\..*", r"roi_heads\.box_head\..*"),
    "mmdet": (r"neck\..*", r"rpn_head\..*", r"roi_head\.bbox_head\..*"),
}
_HEADS: Mapping[Framework, tuple[str, str]] = {
    "torchvision": (r"roi_heads\.box_predictor\.\d+\..*", r"roi_heads\.mask_head\..*"),
    "detectron2": (r"roi_heads\.box_predictor\.\d+\..*", r"roi_heads\.mask_head\..*"),
    "mmdet": (r"roi_head\.bbox_head\.\d+\..*", r"roi_head\.mask_head\..*"),
}
#: Detectors that a framework builds without an FPN, and what to build instead.
_WITHOUT_FPN = (
    (r"backbone\.(stem\.conv1|res2\.0\.conv1)\.weight", "a Detectron2 C4 or DC5 model, which has no FPN"),
    (r"backbone\.body\.0\.0\.weight", "a torchvision detector on MobileNet"),
)


class Recognized(NamedTuple):
    """The framework and detector of a model, and the prefix that a wrapper put before its keys (``module.``, say)."""

    framework: Framework
    detector: Detector
    prefix: str


@checked
def recognize(keys: Iterable[str]) -> Recognized:
    """Framework, detector and wrapper's prefix of a two-stage FPN detector, by the names of its tensors.

    Raises:
        UnsupportedModelError: no framework's names, or more than one detector inside.
    """
    keys = list(keys)
    found = {
        (framework, match.group(1))
        for framework, marker in MARKERS.items()
        for key in keys
        if (match := re.fullmatch(rf"((?:.*\.)?){marker}", key))
    }
    # The marker of a ResNet named "backbone" is also what "backbone.body" hides behind: the whole set of keys decides.
    whole = sorted((f, p) for f, p in found if all(_any(keys, p, pattern) for pattern in _TWO_STAGE[f]))
    if len(whole) > 1:
        inside = ", ".join(prefix.rstrip(".") or "the top level" for _, prefix in whole)
        raise UnsupportedModelError(
            f"The model holds {len(whole)} detectors: {inside}.\nGive load_into the one that you mean, not their owner."
        )
    if not whole:
        raise UnsupportedModelError(_why_not(keys, sorted(found)))
    ((framework, prefix),) = whole
    cascade, mask = (_any(keys, prefix, pattern) for pattern in _HEADS[framework])
    detector: Detector = "cascade_rcnn" if cascade else "mask_rcnn" if mask else "faster_rcnn"
    return Recognized(framework, detector, prefix)


def _any(keys: list[str], prefix: str, pattern: str) -> bool:
    return any(re.fullmatch(re.escape(prefix) + pattern, key) for key in keys)


def _why_not(keys: list[str], found: list[tuple[Framework, str]]) -> str:
    for pattern, what in _WITHOUT_FPN:
        if any(re.fullmatch(rf"(?:.*\.)?{pattern}", key) for key in keys):
            return (
                f"This is {what}; the weights are those of a ResNet-FPN detector.\nBuild it from a ResNet-FPN config."
            )
    if found:
        framework, prefix = found[0]
        lacking = [p for p in _TWO_STAGE[framework] if not _any(keys, prefix, p)]
        names = ", ".join(p.replace("\\", "").replace(".*", "*") for p in lacking)
        return (
            f"This looks like a {framework} model, but not like a two-stage detector with an FPN: it has no {names}.\n"
            "Give a Faster, Mask or Cascade R-CNN on a ResNet with an FPN."
        )
    first = f", {keys[0]!r} for one" if keys else " (it has none)"
    return (
        f"No framework is known by the names of this model's tensors{first}.\n"
        "Give a Faster, Mask or Cascade R-CNN of torchvision, Detectron2 or MMDetection, on a ResNet with an FPN."
    )
