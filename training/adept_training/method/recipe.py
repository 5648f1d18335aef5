"""The method section of a recipe."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from adept_hub.io.schema import Range
from adept_training.method.momentum import SHORT_RUN, momentum_at, run_momentum
from adept_training.method.rpn import RPNRecipe


@dataclass(frozen=True)
class DetectionRecipe:
    """The method ``detection``: the detector's own losses on boxes whose classes are clusters.

    The objects of an image are the first ``views.boxes`` of its list; the next ``views.other_boxes`` are neither
    objects nor background.
    """

    #: Number of clusters, by color, gradients and size; 1: all boxes are one class.
    pseudo_classes: Annotated[int, Range(1, 255)] = 32
    #: The RPN's best boxes after NMS, per image, that the RoI head may be trained on, besides the objects.
    proposals: Annotated[int, Range(1, 10_000)] = 300
    #: Boxes per image that are sampled to train the RoI head, at most a quarter of them objects.
    rois: Annotated[int, Range(1, 10_000)] = 64


@dataclass(frozen=True)
class MethodRecipe:
    """Choice of the losses, and of the pyramid levels of boxes."""

    #: The method: ADePT (joint or separate), SoCo, BYOL on whole images, or detection of pseudo-labeled boxes.
    name: Literal["adept_joint", "adept_separate", "soco", "byol", "detection"] = "adept_joint"
    #: What stays as it is in the start (``--init``), norms in evaluation mode: nothing, the first convolution and its
    #: norm, or the whole backbone, which then runs once per step for both networks.
    freeze: Literal["none", "stem", "backbone"] = "none"
    #: Targets of the contrast. ``ema``: the moving average of the online network, as in BYOL. ``frozen``: whitened C4
    #: and C5 of a box in the start (``--init``), which never changes: it needs no momentum and cannot collapse.
    teacher: Literal["ema", "frozen"] = "ema"
    #: Boxes are pooled at their own level only, or at all of them with the loss masked (SoCo's code).
    head_mode: Literal["assigned", "all_levels"] = "assigned"
    #: Table 4: boxes of the contrast are selective search's, or the RPN's own best join them (unstable).
    boxes: Literal["ss", "ss+rpn"] = "ss"
    #: ``cosine``: BYOL's loss, which boxes share the same features without negatives. ``infonce``: each box against
    #: the boxes of other images. ``prototypes``: SwAV's, the prototypes to which the target assigns the box.
    objective: Literal["cosine", "infonce", "prototypes"] = "cosine"
    #: Temperature of InfoNCE (MoCo v3: 0.2) and of prototypes (SwAV: 0.1).
    temperature: Annotated[float, Range(0.0, 10.0, above=True)] = 0.2
    #: InfoNCE: boxes of the same image at an IoU below 0.1 are negatives too.
    same_image_negatives: bool = False
    #: InfoNCE: once the rate's warm-up is over, this share of the negatives of each box, the most similar ones, is left
    #: out: in images that look alike they are the same thing.
    drop_similar: Annotated[float, Range(0.0, 1.0, below=True)] = 0.0
    #: As many features of the target from past steps are negatives too, for each view; for batches below 64. With
    #: prototypes they are assigned as well.
    queue: Annotated[int, Range(0, 1 << 20)] = 0
    #: Number of prototypes.
    prototypes: Annotated[int, Range(2, 65_536)] = 512
    #: Smoothness of the assignment to prototypes.
    prototype_epsilon: Annotated[float, Range(0.02, 10.0)] = 0.05
    #: Hidden width of projector and predictor.
    projector_hidden: Annotated[int, Range(1, 65_536)] = 4096
    #: Output width of projector and predictor.
    projection: Annotated[int, Range(1, 65_536)] = 256
    #: A batch norm without gain after the projector (SimSiam, MoCo v3). SoCo has none: what all boxes have in common
    #: is then half of the cosine, which falls in the first dozens of steps while nothing is learned.
    projector_norm: bool = False
    #: The target's momentum at the first step; it rises to 1 along a cosine. No effect while ``momentum_bound`` acts.
    momentum: Annotated[float, Range(0.0, 1.0, below=True)] = 0.99
    #: Views of one size go through the target one by one, as in the paper, or together: faster on a GPU, and its
    #: norms then have the statistics of both views.
    target_pass: Literal["by_view", "by_size"] = "by_view"
    #: ``run``: in runs of fewer than 5,000 steps the momentum is constant at 1 - 20 / steps, so that nothing is left in
    #: the target of its random start. A time limit counts: the steps are those that it leaves. ``none``: as the paper.
    momentum_bound: Literal["run", "none"] = "none"
    rpn: RPNRecipe = field(default_factory=RPNRecipe)
    detection: DetectionRecipe = field(default_factory=DetectionRecipe)

    @property
    def trains_rpn(self) -> bool:
        return self.name in ("adept_joint", "adept_separate", "detection")

    def momentum_of(self, place: int, steps: int, reachable: float) -> float:
        """Return the target's momentum at ``place`` of a schedule of ``steps``, of which the run will reach some."""
        if self.momentum_bound == "run" and reachable < SHORT_RUN:
            return run_momentum(reachable)
        return momentum_at(place, steps, self.momentum)

    def momentum_line(self, reachable: int) -> str:
        """Say that a momentum of one's own does not act in a short run with a bound; empty: it acts, or is nobody's."""
        given = self.momentum != MethodRecipe.momentum
        if not (self.has_target and given and self.momentum_bound == "run" and reachable < SHORT_RUN):
            return ""
        return (
            f"method.momentum={self.momentum:g} has no effect: in a run of fewer than {SHORT_RUN:,} steps the momentum "
            f"is {run_momentum(reachable):.3f}. To use yours, start the run with --set method.momentum_bound=none"
        )

    @property
    def contrasts(self) -> bool:
        return self.name not in ("adept_separate", "detection")

    @property
    def has_target(self) -> bool:
        """Return whether there is a target network, the moving average of the online one."""
        return self.contrasts and self.teacher == "ema"

    @property
    def needs_start(self) -> bool:
        """Return whether random values cannot take the place of a start."""
        return bool(self.frozen) or self.teacher == "frozen"

    @property
    def freezes(self) -> bool:
        """Return whether all parts but the RPN stay as they are in the start."""
        return self.name == "adept_separate"

    @property
    def frozen(self) -> tuple[str, ...]:
        """Paths of the modules, within the detector's parts, that stay as they are in the start."""
        if self.freezes:
            return ("backbone", "fpn", "head")
        return {"none": (), "stem": ("backbone.conv1", "backbone.bn1"), "backbone": ("backbone",)}[self.freeze]

    @property
    def parts(self) -> tuple[str, ...]:
        """The detector's parts that the method trains or, in separate training, passes on unchanged."""
        if self.name == "byol":
            return ("backbone",)
        return ("backbone", "fpn", "rpn", "head") if self.trains_rpn else ("backbone", "fpn", "head")
