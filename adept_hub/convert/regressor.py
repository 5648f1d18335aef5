"""The class-agnostic box regressor of a checkpoint in a detector, which has a box regressor for each class.

A row of the regressor stands for dx, dy, dw or dh; a detector's layer has four such rows for each class, in the same
order, and every framework's box head weighs them by 10, 10, 5 and 5. A Cascade R-CNN gets none: its later stages have
other weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from adept_hub.convert.framework import Framework, Recognized
from adept_hub.models.contract import BOX_REGRESSOR


class RegressorCopy(NamedTuple):
    """One tensor of the regressor: canonical key, the detector's key, and the value for all of its classes."""

    source: str
    target: str
    tensor: Tensor


def without_regressor(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of the parts alone."""
    return {key: tensor for key, tensor in tensors.items() if key not in BOX_REGRESSOR}


def regressor_copies(
    tensors: Mapping[str, Tensor], recognized: Recognized, shapes: Mapping[str, tuple[int, ...]]
) -> list[RegressorCopy]:
    """Return the copies of a checkpoint's regressor into a detector; empty if one of the two has none.

    Args:
        tensors: of a checkpoint, by canonical key.
        recognized: the detector's framework and kind.
        shapes: of the detector's tensors, without a wrapper's prefix.
    """
    if recognized.detector == "cascade_rcnn" or BOX_REGRESSOR[0] not in tensors:
        return []
    copies = []
    for source, target in zip(BOX_REGRESSOR, _names(recognized.framework), strict=True):
        value, shape = tensors[source], shapes.get(target, ())
        if not shape or shape[0] % len(value) or shape[1:] != value.shape[1:]:
            return []
        copies.append(RegressorCopy(source, target, per_class(value, shape[0] // len(value))))
    return copies


def exported_regressor(tensors: Mapping[str, Tensor], framework: Framework, num_classes: int) -> dict[str, Tensor]:
    """Return the regressor under a framework's names; empty if ``tensors`` have none.

    Args:
        num_classes: with the background, for which only torchvision has rows; its module repeats them itself.
    """
    names = dict(zip(BOX_REGRESSOR, _names(framework), strict=True))
    classes = 1 if framework.background_first else num_classes - 1
    return {target: per_class(tensors[key], classes) for key, target in names.items() if key in tensors}


def imported_regressor(state: Mapping[str, Tensor], framework: Framework) -> dict[str, Tensor]:
    """Return the regressor of an export, by canonical key: the inverse of `exported_regressor`.

    A detector that was fine-tuned has a classifier, and rows of its own for each class: none of those is a regressor of
    the head.
    """
    names = _names(framework)
    classifier = _layer(framework, "cls")
    if any(key.startswith(f"{classifier}.") for key in state) or not all(name in state for name in names):
        return {}
    rows = {key: state[name][:4] for key, name in zip(BOX_REGRESSOR, names, strict=True)}
    if any(
        len(state[name]) % 4 or not torch.equal(state[name], per_class(rows[key], len(state[name]) // 4))
        for key, name in zip(BOX_REGRESSOR, names, strict=True)
    ):
        return {}
    return rows


def per_class(rows: Tensor, classes: int) -> Tensor:
    """Repeat the four rows for each class."""
    return rows.repeat(classes, *[1] * (rows.dim() - 1))


def _names(framework: Framework) -> tuple[str, str]:
    layer = _layer(framework, "box")
    return f"{layer}.weight", f"{layer}.bias"


def _layer(framework: Framework, canonical: str) -> str:
    return next(row.target for row in framework.box_predictor if row.canonical == canonical).format(stage="")
