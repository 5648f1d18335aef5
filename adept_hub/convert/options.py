"""What the user may choose about the detector that weights are exported into; nothing here imports torch."""

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

#: Stages of a Cascade R-CNN, each with its own copy of the pre-trained head.
CASCADE_STAGES = 3
#: Strides of P2-P6, and the anchors of every framework's FPN configs on them: eight times the stride.
ANCHOR_STRIDES = (4, 8, 16, 32, 64)
DOWNSTREAM_SIZES = (32.0, 64.0, 128.0, 256.0, 512.0)
#: Chosen by measurement: docs/frameworks.md, "Which anchors".
DEFAULT_ANCHORS: Anchors = "pretraining"


@dataclass(frozen=True)
class Target:
    """The detector to export into.

    Attributes:
        detector: ``faster_rcnn``, ``mask_rcnn`` or ``cascade_rcnn``.
        num_classes: classes with the background, as torchvision counts them (81: COCO).
        norm: ``SyncBN`` and ``BN`` hold the same tensors; ``FrozenBN`` none of the batch counters; ``none`` has frozen
            norms in the backbone and, folded into the convolutions, no norms in the FPN and the RoI head.
        anchors: ``downstream`` (8 x the stride, weights as they are), ``rescaled`` (8 x the stride, box deltas adapted
            exactly) or ``pretraining`` (the config takes the anchors that the RPN was trained with).
        levels: which pyramid level a box is pooled from: the framework's own rule, or the one of pre-training.
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
        for name, known in choices.items():
            check_choice(name, getattr(self, name), known, UnsupportedDetectorError)
        check_num_classes(self.num_classes)

    def anchor_sizes(self, spec: DetectorSpec) -> tuple[float, ...]:
        """Square-root areas of the anchors on P2-P6, pixels of the network's input; P6 continues the progression."""
        if self.anchors != "pretraining":
            return DOWNSTREAM_SIZES
        return (*spec.anchors.sizes, 2 * spec.anchors.sizes[-1])


Target.__init__ = checked(Target.__init__)  # type: ignore[method-assign]


class StateOptions(TypedDict, total=False):
    """The fields of `Target` that change tensors, besides the detector."""

    norm: Norm
    anchors: Anchors


class TargetOptions(StateOptions, total=False):
    """The fields of `Target` besides the detector."""

    num_classes: int
    levels: Levels
