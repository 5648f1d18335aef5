"""Settings of self-training, each with the paper that it is from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from adept_hub.io.schema import Length, Range

Share = Annotated[float, Range(0.0, 1.0)]


@dataclass(frozen=True)
class SelfTraining:
    """Self-training with a mean teacher, in use if the run has unlabeled images (``--unlabeled``).

    After supervised iterations each iteration has a labeled batch, weakly (``engine.augment``) and strongly augmented,
    and an unlabeled one: the teacher labels weak views, the student learns from strong views of the same images. The
    teacher is evaluated and exported. UBT: Unbiased Teacher, arXiv 2102.09480; ST: Soft Teacher, arXiv 2106.09018;
    STAC, arXiv 2005.04757; MT: Mean Teacher, arXiv 1703.01780.
    """

    #: Supervised iterations before the teacher begins as a copy of the student (UBT: 2,000); null: 2,000, but at most
    #: half of all.
    burn_in: Annotated[int | None, Range(0, 1_000_000_000)] = None
    #: Unlabeled images per iteration, over all processes (ST: four times the labeled ones); 0: as many as labeled ones,
    #: as UBT.
    batch_size: Annotated[int, Range(0, 65_536)] = 0
    #: Momentum of the teacher, an exponential mean of the student (MT, ST: 0.999; UBT: 0.9996). In iteration t of
    #: self-training it is at most 1 - 1/t, as in MT's code, so that short runs average all iterations.
    momentum: Annotated[float, Range(0.0, 1.0, below=True)] = 0.999
    #: Minimum score of a pseudo-label (UBT: 0.7; ST, STAC: 0.9): one for all classes, or one per class in their order.
    thresholds: Annotated[tuple[Share, ...], Length(1, 20_000)] = (0.7,)
    #: Detections with a score from this to the threshold are neither objects nor background: anchors and boxes on them
    #: have no losses (ST weights background by the teacher's certainty instead). 1: they are background, as in UBT.
    ignore_above: Share = 0.1
    #: Weight of the losses on pseudo-labels (UBT: 4; STAC: 2).
    weight: Annotated[float, Range(0.0, 1000.0)] = 2.0
    #: Class loss of the box head, also on labels: focal with a gamma of 1.5 (UBT), or cross-entropy (ST, STAC).
    class_loss: Literal["focal", "cross_entropy"] = "focal"
    #: Largest localization uncertainty of a pseudo-box that has box losses, whatever its class (ST: 0.02): standard
    #: deviation of the teacher's boxes when its input boxes are jittered, as a share of the box's size. 0: pseudo-boxes
    #: have no box loss (UBT).
    box_uncertainty: Annotated[float, Range(0.0, 10.0)] = 0.02
    #: Jittered boxes per pseudo-box (ST: 10).
    jitters: Annotated[int, Range(2, 1000)] = 10
    #: Largest shift of a jittered box's edges as a share of its width or height (ST: 0.06).
    jitter: Annotated[float, Range(0.0, 0.5, above=True)] = 0.06

    def burn_in_of(self, iterations: int) -> int:
        """Return the supervised iterations of a run of ``iterations``."""
        return min(2000, iterations // 2) if self.burn_in is None else self.burn_in
