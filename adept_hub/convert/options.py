"""Options of the detector for which weights are exported; this module does not import torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypedDict, get_args

from adept_hub.arguments.calls import checked
from adept_hub.arguments.choices import check_choice, check_num_classes
from adept_hub.errors import UnsupportedDetectorError
from adept_hub.spec import DetectorSpec

Detector = Literal["faster_rcnn", "mask_rcnn", "cascade_rcnn"]
Norm = Literal["SyncBN", "BN", "FrozenBN", "none"]
Anchors = Literal["downstream", "rescaled", "pretraining"]
Levels = Literal["stock", "pretraining"]

#: Number of stages of a Cascade R-CNN, each with a copy of the pre-trained head.
CASCADE_STAGES = 3
#: Strides of P2-P6, and the anchors of every framework's FPN configs on them: eight times the stride.
ANCHOR_STRIDES = (4, 8, 16, 32, 64)
DOWNSTREAM_SIZES = (32.0, 64.0, 128.0, 256.0, 512.0)
#: Selected by measurement: docs/evidence/finetuning.md, "Which anchors".
DEFAULT_ANCHORS: Anchors = "pretraining"


@dataclass(frozen=True)
class Target:
    """The detector to export into.

    Attributes:
        detector: ``faster_rcnn``, ``mask_rcnn`` or ``cascade_rcnn``.
        num_classes: number of classes including the background, as in torchvision (81: COCO).
        norm: ``SyncBN`` and ``BN`` have the same tensors; ``FrozenBN`` has no batch counters; ``none`` has frozen
            norms in the backbone and no norms in the FPN and the RoI head, where they are folded into convolutions.
            A part of the checkpoint with frozen norms, or without norms, stays as it is.
        anchors: ``downstream`` (8 x the stride, weights unchanged), ``rescaled`` (8 x the stride, box deltas adapted
            exactly) or ``pretraining`` (the anchors with which the RPN was trained).
        levels: the rule that assigns boxes to pyramid levels: the framework's own, or that of pre-training.
    """

    detector: Detector = "faster_rcnn"
    num_classes: int = 81
    norm: Norm = "SyncBN"
    anchors: Anchors = DEFAULT_ANCHORS
    levels: Levels = "stock"

    def __post_init__(self) -> None:
        choices: Mapping[str, tuple[str, ...]] = {
            "detector": get_args(Detector),
            "norm": get_args(Norm),
            "anchors": get_args(Anchors),
            "levels": get_args(Levels),
        }
        for name, values in choices.items():
            check_choice(name, getattr(self, name), values, UnsupportedDetectorError)
        check_num_classes(self.num_classes)

    def anchor_sizes(self, spec: DetectorSpec) -> tuple[float, ...]:
        """Return the anchors' square-root areas on P2-P6, pixels of the network's input; P6 doubles P5's."""
        if self.anchors != "pretraining":
            return DOWNSTREAM_SIZES
        return spec.anchors.with_p6

    def norm_of(self, spec: DetectorSpec, part: str) -> Norm:
        """Return the norm of a part: ``norm``, unless the checkpoint has frozen norms or none in it."""
        own = getattr(spec, f"{part}_norm")
        if own == "none":
            return "none"
        if self.norm == "none":
            return "FrozenBN" if part == "backbone" else "none"
        return "FrozenBN" if own == "frozen_bn" else self.norm


def refuse_rounded_anchors(spec: DetectorSpec, target: Target, framework: str, *, finished: bool) -> None:
    """Refuse anchors that are rounded to whole pixels, for a framework that has none such.

    Args:
        spec: the architecture of the checkpoint.
        target: the target of the export.
        framework: the framework's name in messages.
        finished: whether a fine-tuned detector is deployed.

    Raises:
        UnsupportedDetectorError: the checkpoint has such anchors, and ``target`` does not accept others.
    """
    if spec.anchors.generator == "rounded" and (finished or target.anchors == "pretraining"):
        raise UnsupportedDetectorError(
            f"The RPN was trained on anchors that torchvision rounds to whole pixels, which {framework} cannot do: its "
            "boxes would differ by up to half a pixel.\n"
            + (
                "Deploy the detector with --to torchvision or --to onnx."
                if finished
                else "Accept that: --anchors downstream (in Python: anchors='downstream')"
            )
        )


Target.__init__ = checked(Target.__init__)  # type: ignore[method-assign]


class StateOptions(TypedDict, total=False):
    """The fields of `Target` that change tensors, besides the detector."""

    norm: Norm
    anchors: Anchors


class TargetOptions(StateOptions, total=False):
    """The fields of `Target` besides the detector."""

    num_classes: int
    levels: Levels
