"""Recognize the framework, detector and wrapper of a model by the names of its tensors."""

from __future__ import annotations

import re
from collections.abc import Iterable

from adept_hub.arguments.calls import checked
from adept_hub.convert.framework import Framework, Recognized
from adept_hub.convert.options import Detector
from adept_hub.errors import UnsupportedModelError
from adept_hub.frameworks import FRAMEWORKS


@checked
def recognize(keys: Iterable[str]) -> Recognized:
    """Recognize framework, detector and wrapper's prefix of a two-stage FPN detector by the names of its tensors.

    Raises:
        UnsupportedModelError: the names match no framework, or the model contains several detectors.
    """
    keys = list(keys)
    matches = {
        (name, match.group(1))
        for name, framework in FRAMEWORKS.items()
        for key in keys
        if (match := re.fullmatch(rf"((?:.*\.)?){framework.patterns.marker}", key))
    }
    # The names of one framework may look like those of another behind a prefix, so that all keys are checked.
    whole = sorted((name, prefix) for name, prefix in matches if not _lacking(keys, prefix, FRAMEWORKS[name]))
    prefixes = list(dict.fromkeys(prefix for _, prefix in whole))
    if len(prefixes) > 1:
        inside = ", ".join(prefix.rstrip(".") or "the top level" for prefix in prefixes)
        raise UnsupportedModelError(
            f"The model contains {len(prefixes)} detectors: {inside}.\nPass one of them to load_into instead."
        )
    if not whole:
        raise UnsupportedModelError(_why_not(keys, sorted(matches)))
    (prefix,) = prefixes
    # Variants of a framework share its names; the first one is the original.
    framework = next(FRAMEWORKS[name] for name in FRAMEWORKS if (name, prefix) in whole)
    cascade, mask = (_any(keys, prefix, p) for p in (framework.patterns.cascade, framework.patterns.mask))
    detector: Detector = "cascade_rcnn" if cascade else "mask_rcnn" if mask else "faster_rcnn"
    return Recognized(framework, detector, prefix)


def _any(keys: list[str], prefix: str, pattern: str) -> bool:
    return any(re.fullmatch(re.escape(prefix) + pattern, key) for key in keys)


def _lacking(keys: list[str], prefix: str, framework: Framework) -> list[str]:
    return [pattern for pattern in framework.patterns.two_stage if not _any(keys, prefix, pattern)]


def _why_not(keys: list[str], matches: list[tuple[str, str]]) -> str:
    for pattern, what in (pair for framework in FRAMEWORKS.values() for pair in framework.patterns.without_fpn):
        if any(re.fullmatch(rf"(?:.*\.)?{pattern}", key) for key in keys):
            return (
                f"This is {what}, but the weights are those of a ResNet-FPN detector.\n"
                "Build it from a ResNet-FPN config."
            )
    if matches:
        name, prefix = matches[0]
        lacking = _lacking(keys, prefix, FRAMEWORKS[name])
        names = ", ".join(p.replace("\\", "").replace(".*", "*") for p in lacking)
        return (
            f"This looks like a {name} model, but not a two-stage detector with an FPN: it has no {names}.\n"
            "Use a Faster, Mask or Cascade R-CNN on a ResNet with an FPN."
        )
    first = f", such as {keys[0]!r}" if keys else " (there are none)"
    return (
        f"The names of this model's tensors match no framework{first}.\n"
        "Use a Faster, Mask or Cascade R-CNN of torchvision, Detectron2 or MMDetection, on a ResNet with an FPN."
    )
