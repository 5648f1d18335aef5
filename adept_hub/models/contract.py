"""The exact tensors of a spec: none may be missing, unexpected or of another shape."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping

import torch

from adept_hub.errors import IncompleteLoadError, ShapeMismatchError, UnknownKeyError
from adept_hub.models.parts import DetectorParts
from adept_hub.models.skeleton import skeleton
from adept_hub.spec import PARTS, DetectorSpec

#: Weight and bias of the class-agnostic box regressor. They belong to the head, and are in no module of the parts: a
#: detector has such a layer for each class.
BOX_REGRESSOR = ("head.bbox_pred.weight", "head.bbox_pred.bias")


def part_of(key: str) -> str:
    """Return the part of a canonical key, its first component.

    Raises:
        UnknownKeyError: the first component is not a part.
    """
    part = key.split(".", 1)[0]
    if part not in PARTS:
        raise UnknownKeyError(f"{key!r} does not belong to a part: canonical keys begin with {', '.join(PARTS)}.")
    return part


@functools.lru_cache(maxsize=16)
def expected_tensors(
    spec: DetectorSpec, box_regressor: bool = False
) -> Mapping[str, tuple[tuple[int, ...], torch.dtype]]:
    """Return the shape and dtype of every canonical tensor of ``spec``, in the order of the module.

    Args:
        box_regressor: with the two tensors of the box regressor, which belong to the head.
    """
    with skeleton():
        parts = DetectorParts(spec)
    expected = {key: (tuple(value.shape), value.dtype) for key, value in parts.state_dict().items()}
    if box_regressor:
        shapes = ((4, spec.head_fc_channels), (4,))
        expected |= {key: (shape, torch.float32) for key, shape in zip(BOX_REGRESSOR, shapes, strict=True)}
    return expected


def check_tensors(
    shapes: Mapping[str, tuple[int, ...]],
    spec: DetectorSpec,
    parts: Iterable[str] = PARTS,
    where: str = "checkpoint",
    *,
    box_regressor: bool = False,
) -> None:
    """Compare the names and shapes of a checkpoint's tensors with those of ``spec`` for ``parts``.

    Args:
        shapes: by canonical key.
        where: for messages.
        box_regressor: whether the checkpoint has a box regressor.

    Raises:
        UnknownKeyError: a tensor that the architecture does not have.
        IncompleteLoadError: a tensor or a whole part is missing.
        ShapeMismatchError: a tensor has another shape.
    """
    expected = expected_tensors(spec, box_regressor)
    promised = {key: value for key, value in expected.items() if part_of(key) in set(parts)}
    if surplus := [key for key in shapes if key not in promised]:
        raise UnknownKeyError(
            f"{where}: {len(surplus)} tensor(s) do not belong to a ResNet-{spec.depth} detector of this config, "
            f"first {surplus[0]!r}.\nThe file and its config.json do not match."
        )
    missing = [key for key in promised if key not in shapes]
    if missing:
        lost = sorted({part_of(key) for key in missing} - {part_of(key) for key in shapes}, key=PARTS.index)
        what = f"the whole {' and '.join(lost)}" if lost else f"{missing[0]!r}"
        raise IncompleteLoadError(
            f"{where}: {len(missing)} of {len(promised)} tensors are missing: {what}.\n"
            "The file is not a complete checkpoint: fetch or export it again, or load fewer parts with parts=."
        )
    for key, (shape, _) in promised.items():
        if tuple(shapes[key]) != shape:
            raise ShapeMismatchError(
                f"{where}: {key!r} has shape {tuple(shapes[key])}, but the config requires {shape}.\n"
                "The file and its config.json do not match: fetch or export it again."
            )
