"""Read detector.json and predictors.safetensors as strictly as the four parts.

Values are bounded before anything is built from them, and the predictors are compared with the SHA-256 in
detector.json, as the parts are with that in config.json.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adept_hub.checkpoint.validate_config import MAX_WEIGHT_BYTES, check_format
from adept_hub.detectors.recipe import DetectorRecipe
from adept_hub.errors import CheckpointError
from adept_hub.io.digest import verify
from adept_hub.io.paths import is_file
from adept_hub.io.read import BoundedReader

if TYPE_CHECKING:
    from torch import Tensor

DETECTOR, PREDICTORS = "detector.json", "predictors.safetensors"
#: Number of classes; the largest vocabulary in detection, V3Det's, has 13,204.
MAX_CLASSES = 20_000
MAX_CLASS_NAME = 1000
_MAX_DETECTOR_BYTES = 64 << 20
_MAX_SIDE = 1 << 15
_MAX_BOXES = 1 << 20
_REMEDY = "The detector is damaged or was not written by adept finetune: copy it again from its run."


def read_detector_json(folder: Path) -> Any:
    """Return the values of a folder's detector.json.

    Raises:
        CheckpointError: it is missing, a pipe, a link out of the folder, too large, or not JSON.
    """
    return BoundedReader(CheckpointError, _MAX_DETECTOR_BYTES, inside=folder, remedy=_REMEDY).json(folder / DETECTOR)


def detector_details(folder: Path) -> dict[str, Any]:
    """Return ``detector`` (the type) and ``classes`` of a fine-tuned detector; empty for any other checkpoint.

    Args:
        folder: a checkpoint folder.

    Raises:
        CheckpointError: detector.json is damaged.
    """
    if not is_file(folder / DETECTOR):
        return {}
    content, where = read_detector_json(folder), str(folder / DETECTOR)
    check_format(content, where)
    classes = content.get("classes") if isinstance(content, dict) else None
    recipe = content.get("recipe") if isinstance(content, dict) else None
    named = isinstance(classes, list) and all(isinstance(name, str) for name in classes)
    if not named or not isinstance(recipe, dict):
        raise CheckpointError(f"{where} does not list the classes of a detector.\n{_REMEDY}")
    return {"detector": str(recipe.get("detector", "faster_rcnn")), "classes": classes}


def check_detector(where: str, classes: tuple[str, ...], recipe: DetectorRecipe, iterations: int) -> None:
    """Bound the values that a detector is built from.

    Args:
        where: source of the values, for messages.
        classes: names, without the background.
        recipe: with explicit anchors.
        iterations: number of fine-tuning iterations.

    Raises:
        CheckpointError: a value is out of range; the message names it.
    """
    if not 1 <= len(classes) <= MAX_CLASSES:
        raise CheckpointError(f"{where}: {len(classes):,} classes; it must be 1 to {MAX_CLASSES:,}.\n{_REMEDY}")
    if any(len(name) > MAX_CLASS_NAME for name in classes):
        raise CheckpointError(f"{where}: the name of a class has more than {MAX_CLASS_NAME:,} characters.\n{_REMEDY}")
    bounds: tuple[tuple[str, Iterable[float], float, float], ...] = (
        ("train_sides", recipe.train_sides, 1, _MAX_SIDE),
        ("test_side, max_side", (recipe.test_side, recipe.max_side), 1, _MAX_SIDE),
        ("anchors", recipe.anchors, 1e-3, 1e6),
        ("rois, rpn_anchors", (recipe.rois, recipe.rpn_anchors), 1, _MAX_BOXES),
        ("train_proposals, test_proposals", (recipe.train_proposals, recipe.test_proposals), 1, _MAX_BOXES),
        ("detections", (recipe.detections,), 1, _MAX_BOXES),
        ("score_threshold", (recipe.score_threshold,), 0, 1),
        ("head_norm", (recipe.head_norm,), 0, 1e6),
        ("iterations", (iterations,), 0, 1 << 62),
    )
    for name, values, least, most in bounds:
        for value in values:
            if not (math.isfinite(value) and least <= value <= most):
                raise CheckpointError(f"{where}: {name} is {value!r}, not within {least:g} and {most:g}.\n{_REMEDY}")
    if len(recipe.anchors) != 5 or not 1 <= len(recipe.train_sides) <= 1000:
        raise CheckpointError(
            f"{where}: {len(recipe.anchors)} anchors and {len(recipe.train_sides)} sides; there are five anchors, one "
            f"for each of P2-P6, and 1 to 1000 sides.\n{_REMEDY}"
        )


def read_predictors(folder: Path, expected: Mapping[str, Tensor], sha256: str, size: int) -> dict[str, Tensor]:
    """Return the tensors beyond the four parts.

    Args:
        folder: of the detector.
        expected: tensors with the names, shapes and types that the detector needs.
        sha256: digest in detector.json.
        size: size of the file in bytes.

    Raises:
        IntegrityError: the file does not match detector.json.
        CheckpointError: detector.json has no digest, or the file is missing, a link out of the folder, not a whole
            safetensors file, holds other tensors than ``expected``, or values that are not finite.
    """
    from adept_hub.checkpoint.weights_file import check_finite, open_tensors

    path = folder / PREDICTORS
    BoundedReader(CheckpointError, MAX_WEIGHT_BYTES, inside=folder, remedy=_REMEDY).check(path)
    if not sha256:
        raise CheckpointError(f"{folder / DETECTOR} has no SHA-256 of {PREDICTORS} (predictors_sha256).\n{_REMEDY}")
    verify(path, sha256, size)
    with open_tensors(path, _REMEDY) as file:
        shapes = {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118
        _check_names(path, shapes, {key: tuple(tensor.shape) for key, tensor in expected.items()})
        tensors = {key: file.get_tensor(key) for key in shapes}
    wrong = next((key for key, tensor in tensors.items() if tensor.dtype != expected[key].dtype), None)
    if wrong is not None:
        raise CheckpointError(
            f"{path}: {wrong!r} holds {tensors[wrong].dtype} values instead of {expected[wrong].dtype}.\n{_REMEDY}"
        )
    check_finite(tensors, str(path), "loaded")
    return tensors


def _check_names(path: Path, found: Mapping[str, tuple[int, ...]], expected: Mapping[str, tuple[int, ...]]) -> None:
    for key in sorted(found.keys() | expected.keys()):
        if found.get(key) != expected.get(key):
            has = reprlib.repr(list(found[key])) if key in found else "nothing"
            needs = list(expected[key]) if key in expected else "nothing"
            raise CheckpointError(
                f"{path} does not hold the predictors that {DETECTOR} describes: under {reprlib.repr(key)} it has "
                f"{has}, and {needs} is needed.\n{_REMEDY}"
            )
