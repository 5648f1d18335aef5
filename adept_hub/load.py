"""Checkpoints become detectors: ready to fine-tune, inside a user's own model, or exported to a framework."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from adept_hub.checkpoint import read_tensors
from adept_hub.convert.detect import plan_for_model
from adept_hub.convert.export import export_state, write_export
from adept_hub.convert.options import DEFAULT_ANCHORS, Anchors, Detector, Framework, Target, check_framework
from adept_hub.convert.rescale import rescale_anchors
from adept_hub.convert.strides import refuse_stride_in_1x1
from adept_hub.errors import IncompleteLoadError
from adept_hub.fetch import Fetched, FetchOptions, fetch
from adept_hub.models import DetectorParts, assemble_detector
from adept_hub.models.contract import part_of
from adept_hub.models.skeleton import skeleton
from adept_hub.registry import registry
from adept_hub.report import LoadReport, PartReport
from adept_hub.spec import PARTS, CheckpointConfig

Source = str | os.PathLike[str]

#: torchvision's own default: COCO's 90 categories and the background.
NUM_CLASSES = 91


def load_pretrained(
    source: Source,
    *,
    num_classes: int = NUM_CLASSES,
    detector: str = "faster_rcnn",
    parts: Iterable[str] = PARTS,
    anchors: Anchors = DEFAULT_ANCHORS,
    revision: str | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    offline: bool | None = None,
    token: str | bool | None = None,
    **options: Any,
) -> GeneralizedRCNN:
    """A torchvision detector whose backbone, FPN, RPN and RoI head are pre-trained, ready to fine-tune.

    Its class, box and mask predictors are new; ``model.load_report`` says what came from where. Images are a list of
    float32 RGB tensors (3, H, W) in [0, 1]; boxes are xyxy in pixels of those images.

    Args:
        source: a name (``adept_joint``), ``hf-hub:org/repo[@revision]``, ``local-dir:PATH``, a checkpoint folder or
            a run folder (its ``export/`` or ``best/``).
        num_classes: classes with the background, as torchvision counts them.
        detector: ``faster_rcnn``, ``mask_rcnn`` or ``cascade_rcnn``.
        parts: the parts to load; the others keep their initial values and are reported as re-initialised.
        anchors: ``downstream`` (32-512 px), ``rescaled`` (the same, the RPN's box deltas adapted to them) or
            ``pretraining`` (those that the RPN was trained on); ``anchor_sizes`` says other sizes.
        revision: branch, tag or commit on the Hub.
        cache_dir: where downloads are kept; by default huggingface_hub's own cache.
        offline: make no request; by default as ``HF_HUB_OFFLINE`` says.
        token: for private repositories; by default the stored login.
        **options: those of `adept_hub.models.assemble_detector` (``anchor_sizes``, ``levels``) and of torchvision's
            FasterRCNN and MaskRCNN (``min_size``, ``box_detections_per_img``, ...).

    Raises:
        AdeptError: any of the errors of `adept_hub.fetch.fetch` and `adept_hub.checkpoint.read_tensors`.
        IncompleteLoadError: the checkpoint lacks a promised part.
        UnsupportedDetectorError: ``detector`` or ``num_classes`` cannot be built.
    """
    fetched = fetch(source, FetchOptions(revision, cache_dir, offline, token))
    wanted = _promised(parts, fetched.config)
    spec = fetched.config.spec
    sizes = options.setdefault("anchor_sizes", Target(anchors=anchors).anchor_sizes(spec))
    module = _load_parts(fetched, wanted)
    if anchors == "rescaled" and "rpn" in wanted:
        state = {f"rpn.{key}": tensor for key, tensor in module.rpn.state_dict().items()}
        adapted = rescale_anchors(state, spec, sizes)
        module.rpn.load_state_dict({key.removeprefix("rpn."): tensor for key, tensor in adapted.items()})
    model = assemble_detector(module, num_classes, detector, fetched.config.preprocessing, **options)
    model.load_report = _report(fetched, module, wanted, _fresh(model))
    model.checkpoint_config = fetched.config
    return model


def create_model(
    name: str, *, num_classes: int = NUM_CLASSES, detector: str = "faster_rcnn", **options: Any
) -> GeneralizedRCNN:
    """The same architecture as `load_pretrained` gives, without weights: every tensor has its initial value.

    Raises:
        UnknownModelError: no such name; the nearest are shown.
        UnsupportedDetectorError: ``detector`` or ``num_classes`` cannot be built.
    """
    info = registry().resolve(name)
    options.setdefault("anchor_sizes", Target().anchor_sizes(info.spec))
    return assemble_detector(DetectorParts(info.spec), num_classes, detector, info.preprocessing, **options)


def load_state_dict(
    source: Source,
    *,
    framework: Framework | Literal["canonical"] = "canonical",
    detector: Detector = "faster_rcnn",
    parts: Iterable[str] = PARTS,
    revision: str | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    offline: bool | None = None,
    token: str | bool | None = None,
    **options: Any,
) -> dict[str, Tensor]:
    """The pre-trained tensors under a framework's own names.

    Args:
        framework: ``torchvision``, ``detectron2``, ``mmdet``, or ``canonical`` for the names of the checkpoint file.
        detector: the detector that the names are for.
        **options: those of `adept_hub.convert.options.Target` (``norm``, ``anchors``, ...).

    For the other arguments and the errors see `load_pretrained`.
    """
    target = Target(detector=detector, **options)
    fetched = fetch(source, FetchOptions(revision, cache_dir, offline, token))
    wanted = _promised(parts, fetched.config)
    tensors = {key: t for key, t in read_tensors(fetched.folder, fetched.config).items() if part_of(key) in wanted}
    return tensors if framework == "canonical" else export_state(tensors, fetched.config.spec, framework, target)


def export(
    source: Source,
    framework: Framework,
    out: str | os.PathLike[str],
    *,
    detector: Detector = "faster_rcnn",
    revision: str | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    offline: bool | None = None,
    token: str | bool | None = None,
    **options: Any,
) -> list[Path]:
    """Write weights under a framework's names and the config that makes the framework agree with them.

    Args:
        framework: ``torchvision``, ``detectron2`` or ``mmdet``.
        out: the folder to write; must not exist, or be empty.
        detector: the detector to configure.
        **options: those of `adept_hub.convert.options.Target` (``num_classes``, ``norm``, ``anchors``, ``levels``).

    Returns:
        The files written.

    Raises:
        OutputExistsError, DiskFullError: about ``out``. Others as in `load_pretrained`.
    """
    check_framework(framework)
    target = Target(detector=detector, **options)
    fetched = fetch(source, FetchOptions(revision, cache_dir, offline, token))
    _promised(PARTS, fetched.config)
    tensors = read_tensors(fetched.folder, fetched.config)
    return write_export(tensors, fetched.config, framework, Path(out), target)


def load_into(
    model: nn.Module,
    source: Source,
    *,
    parts: Iterable[str] = PARTS,
    fold_norms: bool = False,
    revision: str | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    offline: bool | None = None,
    token: str | bool | None = None,
) -> LoadReport:
    """Copy pre-trained tensors into a user's own torchvision, Detectron2 or MMDetection detector.

    The framework is recognised by the names of the model's tensors, behind any wrapper's prefix. Either every tensor
    of every promised part is copied, or the model is left untouched.

    Args:
        fold_norms: where the model's FPN or RoI head has convolutions without norms, fold the pre-trained norms into
            their weights and biases, which is exact in evaluation mode; by default such a model is refused.

    Raises:
        UnsupportedModelError: the model cannot hold the parts as it is built; the message says what to change.
        IncompleteLoadError: the checkpoint lacks a promised part.
        Others as in `load_pretrained`.
    """
    fetched = fetch(source, FetchOptions(revision, cache_dir, offline, token))
    wanted = _promised(parts, fetched.config)
    tensors = {key: t for key, t in read_tensors(fetched.folder, fetched.config).items() if part_of(key) in wanted}
    if "backbone" in wanted:
        refuse_stride_in_1x1(model)
    state = model.state_dict()
    plan = plan_for_model(state, tensors, fetched.config.spec, wanted, fold_norms=fold_norms)
    sizes: dict[str, list[int]] = {part: [0, 0] for part in wanted}
    with torch.no_grad():
        for key, target, tensor in plan:
            state[target].copy_(tensor)
            sizes[part_of(key)][0] += 1
            sizes[part_of(key)][1] += tensor.nbytes
    rows = tuple(PartReport(part, loaded, size) for part, (loaded, size) in sizes.items())
    copied = {target for _, target, _ in plan}
    left = tuple(key for key in state if key not in copied)
    return LoadReport(fetched.origin, fetched.config.name, (*rows, PartReport("other", reinitialised=left)))


def _promised(parts: Iterable[str], config: CheckpointConfig) -> tuple[str, ...]:
    wanted = tuple(part for part in PARTS if part in set(parts))
    if unknown := sorted(set(parts) - set(PARTS)):
        raise IncompleteLoadError(f"There is no part {unknown[0]!r}.\nParts are: {', '.join(PARTS)}.")
    if lacking := [part for part in wanted if part not in config.parts]:
        rest = [part for part in wanted if part in config.parts]
        raise IncompleteLoadError(
            f"{config.name} holds no {' and no '.join(lacking)}: it is a {config.provenance.method} checkpoint.\n"
            f"Ask for what it holds, and let the rest start from scratch: parts={tuple(rest)!r}"
        )
    return wanted


def _load_parts(fetched: Fetched, wanted: tuple[str, ...]) -> DetectorParts:
    """The parts module with the wanted parts assigned, not copied; built without initialising what is replaced."""
    tensors = read_tensors(fetched.folder, fetched.config)
    whole = wanted == PARTS
    with skeleton() if whole else contextlib.nullcontext():
        module = DetectorParts(fetched.config.spec)
    for part in wanted:
        prefix = f"{part}."
        state = {key.removeprefix(prefix): t for key, t in tensors.items() if key.startswith(prefix)}
        module.get_submodule(part).load_state_dict(state, strict=True, assign=True)
    return module


def _fresh(model: GeneralizedRCNN) -> tuple[str, ...]:
    return tuple(key for key in model.state_dict() if "predictor" in key or "mask_head" in key)


def _report(fetched: Fetched, module: DetectorParts, wanted: tuple[str, ...], fresh: tuple[str, ...]) -> LoadReport:
    rows = []
    for part in PARTS:
        state: Mapping[str, Tensor] = module.get_submodule(part).state_dict()
        row = PartReport(part, loaded=len(state), bytes=sum(t.nbytes for t in state.values()))
        rows.append(row if part in wanted else replace(row, loaded=0, bytes=0, reinitialised=tuple(state)))
    rows.append(PartReport("predictors", reinitialised=fresh))
    return LoadReport(fetched.origin, fetched.config.name, tuple(rows))
