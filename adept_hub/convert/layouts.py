"""Other projects' checkpoints as literal tables: SoCo's and AlignDet's detectors, and the usual ResNet backbones.

Names are those of the projects' own code: SoCo ``contrast/models/SoCo_FPN.py``, AlignDet ``selfsup_detector.py``, MoCo
``moco/builder.py``, SwAV ``src/resnet50.py``, OpenSelfSup ``models/*.py``. Each table lists what it leaves out (heads,
queues, the other network); a key that it does not list raises.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from adept_hub.convert import mmdet
from adept_hub.convert.infer import infer_spec
from adept_hub.convert.keymap import KeyTable, Row
from adept_hub.convert.norms import with_counters, with_identity_norms
from adept_hub.errors import CheckpointError, UnknownKeyError
from adept_hub.models.contract import check_tensors, part_of
from adept_hub.spec import PARTS, DetectorSpec

Network = Literal["online", "target", "none"]


@dataclass(frozen=True)
class Layout:
    """One project's names.

    Attributes:
        about: what such files are.
        table: canonical names and theirs; ``fresh`` is what is left out.
        marker: a key that every such file has.
        network: which of two networks it takes, where there are two.
        parts: what it holds at most.
    """

    about: str
    table: KeyTable
    marker: str
    network: Network = "none"
    parts: tuple[str, ...] = ("backbone",)


def _resnet(prefix: str) -> tuple[Row, ...]:
    """torchvision's names of a ResNet, which all of these projects kept, behind a prefix."""
    return (
        Row("conv", "backbone.conv1", f"{prefix}conv1"),
        Row("norm", "backbone.bn1", f"{prefix}bn1"),
        Row("conv", "backbone.layer{}.{}.conv{}", f"{prefix}layer{{}}.{{}}.conv{{}}"),
        Row("norm", "backbone.layer{}.{}.bn{}", f"{prefix}layer{{}}.{{}}.bn{{}}"),
        Row("conv", "backbone.layer{}.{}.downsample.0", f"{prefix}layer{{}}.{{}}.downsample.0"),
        Row("norm", "backbone.layer{}.{}.downsample.1", f"{prefix}layer{{}}.{{}}.downsample.1"),
    )


def _soco(suffix: str) -> tuple[Row, ...]:
    neck, head = f"module.neck{suffix}.", f"module.head{suffix}."
    return (
        *_resnet(f"module.encoder{suffix}."),
        Row("conv", "fpn.inner_blocks.{}.0", f"{neck}lateral_convs.{{}}.conv"),
        Row("norm", "fpn.inner_blocks.{}.1", f"{neck}lateral_convs.{{}}.bn"),
        Row("conv", "fpn.layer_blocks.{}.0", f"{neck}fpn_convs.{{}}.conv"),
        Row("norm", "fpn.layer_blocks.{}.1", f"{neck}fpn_convs.{{}}.bn"),
        Row("conv", "head.0.0", f"{head}conv1"),
        Row("norm", "head.0.1", f"{head}bn1"),
        Row("conv", "head.1.0", f"{head}conv2"),
        Row("norm", "head.1.1", f"{head}bn2"),
        Row("conv", "head.2.0", f"{head}conv3"),
        Row("norm", "head.2.1", f"{head}bn3"),
        Row("conv", "head.3.0", f"{head}conv4"),
        Row("norm", "head.3.1", f"{head}bn4"),
        Row("linear", "head.5", f"{head}fc1"),
    )


def _aligndet(prefix: str) -> tuple[Row, ...]:
    """An MMDetection detector inside a wrapper; its FPN and head have no norms."""
    rows = (*mmdet.BODY, *(Row(kind, name, f"roi_head.bbox_head.{inside}") for kind, name, inside in mmdet.HEAD))
    return tuple(Row(kind, name, f"{prefix}{target}") for kind, name, target in rows)


_SOCO_HEADS = r"module\.(projector|predictor)(_k)?\..*"
_ALIGNDET_HEADS = r"backbone\.roi_head\.(bbox_head\.fc_(cls|reg)|mask_head)\..*"

LAYOUTS: Mapping[str, Layout] = {
    "resnet": Layout(
        "a plain ResNet: torchvision, timm, and backbones extracted by DenseCL, BYOL, SimCLR converters",
        KeyTable("resnet", _resnet(""), (r"fc\..*",)),
        marker="conv1.weight",
    ),
    "moco": Layout(
        "MoCo v1 and v2, and what was built on them (the query encoder)",
        KeyTable("moco", _resnet("module.encoder_q."), (r"module\.encoder_q\.fc\..*", r"module\.(encoder_k|queue).*")),
        marker="module.encoder_q.conv1.weight",
        network="online",
    ),
    "moco-v3": Layout(
        "MoCo v3 (the base encoder)",
        KeyTable(
            "moco-v3",
            _resnet("module.base_encoder."),
            (r"module\.base_encoder\.fc\..*", r"module\.(momentum_encoder|predictor)\..*"),
        ),
        marker="module.base_encoder.conv1.weight",
        network="online",
    ),
    "swav": Layout(
        "SwAV and DeepCluster-v2",
        KeyTable("swav", _resnet("module."), (r"module\.(projection_head|prototypes)\..*",)),
        marker="module.conv1.weight",
    ),
    "openselfsup": Layout(
        "OpenSelfSup and MMSelfSup training files: DenseCL, BYOL, SimCLR, MoCo",
        KeyTable(
            "openselfsup",
            _resnet("backbone."),
            (r"(encoder_q|encoder_k|online_net|target_net|neck|head)\..*", r"queue2?(_ptr)?"),
        ),
        marker="backbone.conv1.weight",
        network="online",
    ),
    "soco": Layout(
        "SoCo with FPN, its online network, which its own converters take",
        KeyTable("soco", _soco(""), (_SOCO_HEADS, r"module\.(encoder|neck|head)_k\..*")),
        marker="module.encoder.conv1.weight",
        network="online",
        parts=("backbone", "fpn", "head"),
    ),
    "soco-target": Layout(
        "SoCo with FPN, its target network",
        KeyTable("soco-target", _soco("_k"), (_SOCO_HEADS, r"module\.(encoder|neck|head)\..*")),
        marker="module.encoder_k.conv1.weight",
        network="target",
        parts=("backbone", "fpn", "head"),
    ),
    "aligndet": Layout(
        "AlignDet's Mask R-CNN, its online network (norm-free FPN and head become identity norms)",
        KeyTable("aligndet", _aligndet("backbone."), (_ALIGNDET_HEADS, r"(online|target)_backbone\..*")),
        marker="backbone.backbone.conv1.weight",
        network="online",
        parts=PARTS,
    ),
}
#: Where one file fits two layouts, the one that its own project's tools take; the other must be asked for.
_SECOND_CHOICE = frozenset({"soco-target"})


def recognise_layout(keys: Iterable[str]) -> str:
    """The layout of a checkpoint by the names of its tensors, all of which it must know.

    Raises:
        CheckpointError: no layout knows them all, or several do.
    """
    keys = list(keys)
    fitting = [name for name, layout in LAYOUTS.items() if layout.marker in keys and _knows(layout.table, keys)]
    chosen = [name for name in fitting if name not in _SECOND_CHOICE] or fitting
    if len(chosen) == 1:
        return chosen[0]
    near = [name for name, layout in LAYOUTS.items() if layout.marker in keys]
    hint = f"The nearest: {', '.join(near)}; ask for one with --layout to see what it lacks." if near else ""
    raise CheckpointError(
        f"No layout knows all of these {len(keys)} tensors, {keys[0]!r} for one. {hint}\n"
        f"Known: {', '.join(LAYOUTS)}. Name yours with --layout."
    )


def import_layout(state: Mapping[str, Tensor], layout: str) -> tuple[dict[str, Tensor], DetectorSpec]:
    """Another project's state dict as canonical tensors, and the architecture that they are of.

    Norm-free FPNs and heads get identity norms (see `with_identity_norms`).

    Raises:
        CheckpointError: the layout is unknown.
        UnknownKeyError: the file has a tensor that the layout does not list.
        IncompleteLoadError, ShapeMismatchError: a part is not whole.
        UnsupportedModelError: the architecture has no spec here.
    """
    if layout not in LAYOUTS:
        raise CheckpointError(f"Unknown layout {layout!r}.\nKnown: {', '.join(LAYOUTS)}.")
    try:
        tensors = LAYOUTS[layout].table.to_canonical(state)
    except UnknownKeyError:
        strange = next(key for key in state if not _knows(LAYOUTS[layout].table, [key]))
        raise UnknownKeyError(
            f"{strange!r} is no tensor of the layout {layout} ({LAYOUTS[layout].about}).\n"
            f"Another layout? Known: {', '.join(LAYOUTS)}."
        ) from None
    tensors = {key: t.float() if t.is_floating_point() else t for key, t in tensors.items()}
    tensors = with_counters(with_identity_norms(tensors))
    shapes = {key: tuple(t.shape) for key, t in tensors.items()}
    spec = infer_spec(shapes)
    # A file of a whole detector must hold all of it: a part may not vanish because its names were lost.
    check_tensors(shapes, spec, {*LAYOUTS[layout].parts, *map(part_of, shapes)}, f"the {layout} file")
    return tensors, spec


def _knows(table: KeyTable, keys: Iterable[str]) -> bool:
    try:
        for key in keys:
            table.canonical(key)
    except UnknownKeyError:
        return False
    return True
