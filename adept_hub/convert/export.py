"""Convert canonical tensors to a framework's state dict or folder, and back."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from adept_hub.arguments.calls import checked
from adept_hub.checkpoint.tensor_files import load_tensors_only
from adept_hub.checkpoint.weights_file import read_safetensors
from adept_hub.convert.framework import Framework, InferenceSettings
from adept_hub.convert.infer import infer_spec
from adept_hub.convert.norms import NORMED_PARTS, with_counters, with_norm
from adept_hub.convert.options import CASCADE_STAGES, Detector, Target
from adept_hub.convert.regressor import exported_regressor, imported_regressor, without_regressor
from adept_hub.convert.rescale_anchors import rescale_anchors
from adept_hub.errors import CheckpointError
from adept_hub.io.paths import resolved
from adept_hub.io.write import atomic_folder
from adept_hub.models.contract import check_tensors, part_of
from adept_hub.spec import PARTS, AnchorSpec, CheckpointConfig, DetectorSpec


@checked
def export_state(
    tensors: Mapping[str, Tensor],
    spec: DetectorSpec,
    framework: Framework,
    target: Target | None = None,
) -> dict[str, Tensor]:
    """Convert canonical tensors to the state dict of a framework's detector, without its predictors.

    Args:
        tensors: the tensors of complete parts, by canonical key; a box regressor is left out, as it belongs to the
            predictors.
        spec: their architecture.
        framework: the framework whose keys to use.
        target: the detector; default: a plain Faster R-CNN (Mask R-CNN has the same keys, Cascade has the head three
            times). Of its other options, ``norm="none"`` and ``anchors="rescaled"`` change values.

    Raises:
        UnknownKeyError, IncompleteLoadError, ShapeMismatchError: ``tensors`` are not complete parts of ``spec``.
        UnsupportedDetectorError: the framework does not support the target.
    """
    target = target or Target()
    table = framework.key_table(target.detector, spec)
    parts = {key.split(".", 1)[0] for key in tensors}
    values = without_regressor(tensors)
    check_tensors({key: tuple(t.shape) for key, t in values.items()}, spec, parts, "the tensors to be exported")
    if target.anchors == "rescaled":
        values = rescale_anchors(values, spec, target.anchor_sizes(spec))
    return table.to_target(with_norm(values, target.norm, framework.counted_norms))


@checked
def import_state(
    state: Mapping[str, Tensor],
    framework: Framework,
    detector: Detector = "faster_rcnn",
    anchors: AnchorSpec | None = None,
    frozen: Collection[str] = (),
) -> dict[str, Tensor]:
    """Convert a framework's state dict to canonical tensors; the exact inverse of `export_state` with trainable norms.

    Predictors and the mask head, which belong to no part, are dropped, except a class-agnostic box regressor without a
    classifier, which is that of an export; any other unknown key raises, and every part in the state must be complete.
    If a part has no batch counters, which frozen norms lack, they are set to zero, except in the parts ``frozen``,
    whose norms stay frozen. The RPN's ``anchors`` are not in any tensor; the default is that of pre-training, with
    three ratios.

    Raises:
        UnknownKeyError: a key that such a detector does not have.
        IncompleteLoadError, ShapeMismatchError: a part is incomplete.
        UnsupportedModelError: no spec describes the architecture.
        CheckpointError: the stages of a Cascade R-CNN differ.
    """
    table = framework.key_table(detector, framework.read_shape({key: tuple(t.shape) for key, t in state.items()}))
    tensors = with_counters(table.to_canonical(state), [part for part in NORMED_PARTS if part not in frozen])
    shapes = {key: tuple(t.shape) for key, t in tensors.items()}
    check_tensors(
        shapes, infer_spec(shapes, anchors), {part_of(key) for key in shapes}, f"the {framework.name} weights"
    )
    return tensors | imported_regressor(state, framework)


@checked
def write_export(
    tensors: Mapping[str, Tensor],
    config: CheckpointConfig,
    framework: Framework,
    out: Path,
    target: Target | None = None,
    *,
    overwrite: bool = False,
) -> list[Path]:
    """Write weights, and a config with which the framework builds the matching detector, into a folder, atomically.

    The files have the framework's names (``weights_file``, ``config_file``). A box regressor is repeated for each class
    of the target. A .pth file contains only tensors
    (``torch.load(weights_only=True)``).

    Args:
        tensors: the tensors of complete parts, by canonical key.
        config: the config of their checkpoint.
        framework: the framework whose format to use.
        out: the output folder; it must not exist, or be empty, unless ``overwrite``.
        target: the detector; default: a plain Faster R-CNN with COCO's classes.
        overwrite: replace an existing folder.

    Returns:
        The paths of the weights and the config, in this order.

    Raises:
        OutputExistsError, DiskFullError: the folder is not empty, or cannot be written.
        UnknownKeyError, IncompleteLoadError, ShapeMismatchError, UnsupportedDetectorError: as in `export_state`.
    """
    target = target or Target()
    state = export_state(tensors, config.spec, framework, target)
    if target.detector != "cascade_rcnn":
        state |= exported_regressor(tensors, framework, target.num_classes)
    text = config_text(config, framework, target, out, {part_of(key) for key in tensors})
    weights, name = framework.weights_file, framework.config_file
    with atomic_folder(out, overwrite=overwrite) as temporary:
        write_weights(temporary / weights, framework.wrap(state, ()))
        (temporary / name).write_text(text, encoding="utf-8")
    return [resolved(out) / weights, resolved(out) / name]


@checked
def config_text(
    config: CheckpointConfig, framework: Framework, target: Target, out: Path, parts: Iterable[str] = PARTS,
    settings: InferenceSettings | None = None,
) -> str:  # fmt: skip
    """Return the config of an export of ``parts``, for weights in the folder ``out``.

    Args:
        settings: settings of a fine-tuned detector, if it is one.
    """
    return framework.write_config(config, target, str(resolved(out) / framework.weights_file), parts, settings)


@checked
def write_weights(path: Path, content: Mapping[str, Any]) -> None:
    """Write an export's weights: a .pth of plain tensors (``torch.load(weights_only=True)``), or safetensors.

    Args:
        path: the file; its suffix determines the format.
        content: the result of the framework's ``wrap``.
    """
    # Copies, since a tensor mapped from a safetensors file would store that whole file in a .pth.
    own = {key: _copied(value) for key, value in content.items()}
    if path.suffix == ".safetensors":
        save_file(own, path, metadata={"format": "pt"})
    else:
        torch.save(own, path)


def _copied(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copied(item) for key, item in value.items()}
    return value.detach().cpu().clone().contiguous() if isinstance(value, Tensor) else value


@checked
def read_export(folder: Path, framework: Framework) -> dict[str, Tensor]:
    """Read the canonical tensors of a folder that `write_export` wrote.

    Raises:
        CheckpointError: the folder does not contain such an export.
        UnknownKeyError: a key that such a detector does not have.
    """
    path = folder / framework.weights_file
    if not os.path.lexists(path):
        raise CheckpointError(f"{folder} is not an export for {framework.name}: it has no {path.name}.")
    state = read_safetensors(path) if path.suffix == ".safetensors" else load_tensors_only(path)
    last_stage = f"{framework.box_head}.{CASCADE_STAGES - 1}."
    heads = tuple(f"{last_stage}{row.target}." for row in (framework.head[0], framework.two_fc[0]))
    cascade = any(key.startswith(heads) for key in state)
    return import_state(state, framework, "cascade_rcnn" if cascade else "faster_rcnn")
