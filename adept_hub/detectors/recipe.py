"""Settings of a fine-tuned detector around its four parts, as in its detector.json."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Literal

from adept_hub.convert.options import DOWNSTREAM_SIZES, Target
from adept_hub.io.schema import Length, Range
from adept_hub.spec import DetectorSpec

Side = Annotated[int, Range(1, 16384)]
Count = Annotated[int, Range(1, 100_000)]
Share = Annotated[float, Range(0.0, 1.0)]


@dataclass(frozen=True)
class DetectorRecipe:
    """The detector around the four parts."""

    #: Type of the detector.
    detector: Literal["faster_rcnn", "mask_rcnn", "cascade_rcnn"] = "faster_rcnn"
    #: Shorter sides of training images in pixels, one sampled per image; longer sides are limited to ``max_side``.
    train_sides: Annotated[tuple[Side, ...], Length(1, 1000)] = (640, 672, 704, 736, 768, 800)
    #: Shorter side of test images, in pixels.
    test_side: Side = 800
    #: Longest side of any image, in pixels.
    max_side: Side = 1333
    #: Square-root areas of the anchors on P2-P6 in pixels of the network's input. Empty: those of the source's RPN, and
    #: twice the last size on P6 (scratch: those of the source in ``--like``); in comparisons, and for scratch without
    #: ``--like``, 32-512.
    anchors: tuple[Annotated[float, Range(0.0, 1e5, above=True)], ...] = ()
    #: RoIs per image for the training of the head.
    rois: Count = 512
    #: Anchors per image for the training of the RPN.
    rpn_anchors: Count = 256
    #: Proposals per image after NMS, in training.
    train_proposals: Count = 2000
    #: Proposals per image after NMS, in evaluation.
    test_proposals: Count = 1000
    #: Minimum score of a detection.
    score_threshold: Share = 0.05
    #: Maximum number of detections per image.
    detections: Count = 100
    #: Before training the head's last layer is scaled so that its features have this mean norm; 0: not scaled. A new
    #: head has 6; docs/evidence/blood_cells.md has the measurements of the larger default, selected on one set's test
    #: images.
    head_norm: Annotated[float, Range(0.0, 1e6)] = 20.0
    #: The box classifier: linear, or by cosine similarity times 20 (TFA).
    classifier: Literal["linear", "cosine"] = "linear"
    #: Losses: torchvision's smooth L1, or Detectron2's L1 and its normalization of the RPN's (the protocols).
    losses: Literal["torchvision", "detectron2"] = "torchvision"

    def with_anchors(self, spec: DetectorSpec | None) -> DetectorRecipe:
        """Return the recipe with explicit anchors: its own, else those of the spec, else the common default."""
        own = DOWNSTREAM_SIZES if spec is None else Target(anchors="pretraining").anchor_sizes(spec)
        return replace(self, anchors=self.anchors or own)
