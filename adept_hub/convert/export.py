"""Canonical tensors into a framework's state dict or folder, and back."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from adept_hub.arguments.calls import checked
from adept_hub.checkpoint.tensor_files import load_tensors_only
from adept_hub.checkpoint.weights_file import read_safetensors
from adept_hub.convert.infer import infer_spec
from adept_hub.convert.keymap import KeyTable
from adept_hub.convert.norms import with_counters, with_norm
from adept_hub.convert.options import Detector, Framework, Target, check_framework
from adept_hub.convert.rescale import rescale_anchors
from adept_hub.errors import CheckpointError
from adept_hub.frameworks import detectron2, mmdet, torchvision
from adept_hub.io.paths import resolved
from adept_hub.io.write import atomic_folder
from adept_hub.models.contract import check_tensors, part_of
from adept_hub.spec import PARTS, AnchorSpec, CheckpointConfig, DetectorSpec

#: Weights and config of each framework's export.
FILES: Mapping[str, tuple[str, str]] = {
    "torchvision": ("model.safetensors", "build_model.py"),
    "detectron2": ("model.pth", "config.yaml"),
    "mmdet": ("model.pth", "config.py"),
}
TABLES: Mapping[str, ModuleType] = {"torchvision": torchvision, "detectron2": detectron2, "mmdet": mmdet}


@checked
def key_table(framework: str, detector: Detector = "faster_rcnn") -> KeyTable:
    """The two-way key table of one framework's detector.

    Raises:
        UnsupportedDetectorError: the framework or the detector is unknown.
    """
    check_framework(framework)
    found: KeyTable = TABLES[framework].table(Target(detector=detector).detector)
    return found


@checked
def export_state(
    tensors: Mapping[str, Tensor],
    spec: DetectorSpec,
    framework: Framework,
    target: Target | None = None,
) -> dict[str, Tensor]:
    """Canonical tensors as a state dict of a framework's detector, without its predictors.

    Args:
        tensors: canonical keys, of whole parts.
        spec: their architecture.
        framework: whose keys.
        target: the detector, a plain Faster R-CNN by default (Mask R-CNN has the same keys, Cascade the head three
            times). Of its other choices ``norm="none"`` and ``anchors="rescaled"`` change values.

    Raises:
        UnknownKeyError, IncompleteLoadError, ShapeMismatchError: ``tensors`` are not whole parts of ``spec``.
        UnsupportedDetectorError: the framework cannot express what was asked for.
    """
    target = target or Target()
    table = key_table(framework, target.detector)
    parts = {key.split(".", 1)[0] for key in tensors}
    check_tensors({key: tuple(t.shape) for key, t in tensors.items()}, spec, parts, "the tensors to be exported")
    values = dict(tensors)
    if target.anchors == "rescaled":
        values = rescale_anchors(values, spec, target.anchor_sizes(spec))
    return table.to_target(with_norm(values, target.norm, framework))


@checked
def import_state(
    state: Mapping[str, Tensor],
    framework: Framework,
    detector: Detector = "faster_rcnn",
    anchors: AnchorSpec | None = None,
) -> dict[str, Tensor]:
    """A framework's state dict as canonical tensors; the exact inverse of `export_state` with trainable norms.

    Predictors and the mask head, which no part holds, are left out; every other key must be known, and every part that
    is there must be whole. Batch counters, which frozen norms lack, become zero where a part has none at all. No tensor
    holds ``anchors``, the RPN's; by default they are pre-training's, of three ratios.

    Raises:
        UnknownKeyError: a key that such a detector does not have.
        IncompleteLoadError, ShapeMismatchError: a part is not whole.
        UnsupportedModelError: the architecture has no spec here.
        CheckpointError: the stages of a Cascade R-CNN differ.
    """
    tensors = with_counters(key_table(framework, detector).to_canonical(state))
    shapes = {key: tuple(t.shape) for key, t in tensors.items()}
    check_tensors(shapes, infer_spec(shapes, anchors), {part_of(key) for key in shapes}, f"the {framework} weights")
    return tensors


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
    """Write weights and the config that makes the framework agree with them into a folder, whole or not at all.

    Detectron2: ``model.pth`` and ``config.yaml``. MMDetection: ``model.pth`` and ``config.py``. torchvision:
    ``model.safetensors`` and ``build_model.py``. The .pth files hold tensors only (``torch.load(weights_only=True)``).

    Args:
        tensors: canonical keys, of whole parts.
        config: of the checkpoint they come from.
        framework: whose format.
        out: the folder; must not exist, or be empty, unless ``overwrite``.
        target: the detector; a plain Faster R-CNN on COCO's classes by default.
        overwrite: replace a folder that is there.

    Returns:
        The weights and the config, in this order.

    Raises:
        OutputExistsError, DiskFullError: about the folder.
        UnknownKeyError, IncompleteLoadError, ShapeMismatchError, UnsupportedDetectorError: as `export_state`.
    """
    target = target or Target()
    state = export_state(tensors, config.spec, framework, target)
    text = config_text(config, framework, target, out, {part_of(key) for key in tensors})
    weights, name = FILES[framework]
    with atomic_folder(out, overwrite=overwrite) as temporary:
        write_weights(temporary / weights, wrapped(state, framework))
        (temporary / name).write_text(text, encoding="utf-8")
    return [resolved(out) / weights, resolved(out) / name]


@checked
def config_text(
    config: CheckpointConfig, framework: Framework, target: Target, out: Path, parts: Iterable[str] = PARTS
) -> str:
    """The config of an export of ``parts``, for weights that will lie in the folder ``out``."""
    if framework == "torchvision":
        return torchvision.build_model_py(config, target, parts)
    if framework == "detectron2":
        return detectron2.config_yaml(config, target, str(resolved(out) / FILES[framework][0]))
    return mmdet.config_py(config, target)


@checked
def write_weights(path: Path, content: Mapping[str, Any]) -> None:
    """Write an export's weights: a .pth of plain tensors (``torch.load(weights_only=True)``), or safetensors.

    Args:
        path: whose suffix says which.
        content: as `wrapped`.
    """
    # Copies: a tensor mapped from a safetensors file would drag the whole file into a .pth.
    own = {key: _copied(value) for key, value in content.items()}
    if path.suffix == ".safetensors":
        save_file(own, path, metadata={"format": "pt"})
    else:
        torch.save(own, path)


def _copied(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copied(item) for key, item in value.items()}
    return value.detach().cpu().clone().contiguous() if isinstance(value, Tensor) else value


def wrapped(state: Mapping[str, Tensor], framework: Framework) -> dict[str, Any]:
    """What a framework expects at the top of its file of weights."""
    if framework == "torchvision":
        return dict(state)
    return {"model": dict(state)} if framework == "detectron2" else {"state_dict": dict(state), "meta": {}}


@checked
def read_export(folder: Path, framework: Framework) -> dict[str, Tensor]:
    """The canonical tensors of a folder that `write_export` wrote.

    Raises:
        CheckpointError: the folder holds no such export.
        UnknownKeyError: a key that such a detector does not have.
    """
    check_framework(framework)
    path = folder / FILES[framework][0]
    if not os.path.lexists(path):
        raise CheckpointError(f"{folder} holds no export for {framework}: it has no {path.name}.")
    state = read_safetensors(path) if framework == "torchvision" else load_tensors_only(path)
    cascade = any(re.search(r"(box|bbox)_head\.2\.(conv1|shared_convs|0\.0)\.", key) for key in state)
    return import_state(state, framework, "cascade_rcnn" if cascade else "faster_rcnn")


@checked
def next_steps(framework: Framework, out: Path) -> str:
    """What to type to fine-tune with an export in ``out``."""
    if framework == "detectron2":
        return f"Fine-tune: python tools/train_net.py --config-file {shlex.quote(str(out / 'config.yaml'))}"
    if framework == "mmdet":
        return f"Fine-tune: python tools/train.py {shlex.quote(str(out / 'config.py'))}"
    return f"In Python, from inside {out}: from build_model import build_model; model = build_model(num_classes=3)"
