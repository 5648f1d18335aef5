"""Teacher, student and unlabeled images of a run: what an iteration of self-training learns from.

Legend: C channels, H x W of the image, D detections, M pseudo-labels.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.utils.data import Dataset
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from adept_hub.errors import RecipeError
from adept_training.finetuning.augment import View, strong_view
from adept_training.finetuning.recipe import FinetuneRecipe
from adept_training.finetuning.samples import Batches, LabeledSamples, Sample, make_batches
from adept_training.selftraining import teacher as teachers
from adept_training.selftraining.focal import use_focal_loss
from adept_training.selftraining.ignoring import ignore_unsure, with_unsure
from adept_training.selftraining.settings import SelfTraining
from adept_training.selftraining.unlabeled import Unlabeled, WeakView, WeakViews

_log = logging.getLogger(__name__)
Losses = dict[str, Tensor]
#: Added to the seed, so that unlabeled images come in another order than labeled ones.
_OTHER_ORDER = 0x0DD5


@dataclass(frozen=True)
class BothViews(Dataset[Sample]):
    """Labeled images, each weakly and then strongly augmented, as in both teachers' papers."""

    weak: LabeledSamples

    def __len__(self) -> int:
        return len(self.weak)

    def __getitems__(self, places: Sequence[tuple[int, int]]) -> list[Sample]:
        """Read the weak samples of a batch's (epoch, index), then the strong ones."""
        strong = replace(self.weak, augment="strong")
        return [*self.weak.__getitems__(places), *strong.__getitems__(places)]


@dataclass(frozen=True)
class PseudoBatch:
    """Strong views with pseudo-labels.

    Attributes:
        samples: all pseudo-labels, for the losses of classes.
        located: those with certain boxes, for the losses of boxes.
        counts: per image: ``pseudo_boxes``, ``pseudo_candidates`` (detections before the threshold),
            ``pseudo_located``, ``pseudo_unsure`` and ``pseudo_scores`` (their sum).
    """

    samples: list[Sample]
    located: list[Sample]
    counts: dict[str, float]


@dataclass
class Teaching:
    """The teacher of a run."""

    recipe: FinetuneRecipe
    teacher: GeneralizedRCNN
    views: WeakViews
    #: Sum over the iterations of this session of the pseudo-labels per image; None before the first.
    passed: float | None = None

    @classmethod
    def of(cls, model: GeneralizedRCNN, unlabeled: Unlabeled, recipe: FinetuneRecipe) -> Teaching:
        """Make a teacher of a student that is ready to train, and give the student its class loss.

        Args:
            recipe: resolved (`FinetuneRecipe.resolved`), and valid (`check_self_training`).
        """
        if recipe.self_training.class_loss == "focal":
            use_focal_loss(model)
        if recipe.self_training.ignore_above < 1:
            ignore_unsure(model)
        teacher = copy.deepcopy(model).requires_grad_(False)
        flip = 0.0 if recipe.engine.augment == "none" else recipe.engine.flip
        keys = tuple(unlabeled.source.keys())
        return cls(recipe, teacher, WeakViews(unlabeled.source, keys, flip, recipe.engine.seed))

    def __str__(self) -> str:
        return f"self-training on {len(self.views)} unlabeled images after {self.burn_in} supervised iterations"

    @property
    def burn_in(self) -> int:
        """Supervised iterations."""
        return self.recipe.self_training.burn_in_of(self.recipe.schedule.iterations)

    def batches(self, start: int, rank: int, world_size: int) -> Iterator[list[WeakView]]:
        """Return the unlabeled batches of iterations from ``start``, or from the end of the burn-in."""
        engine = self.recipe.engine
        size = self.recipe.self_training.batch_size or engine.batch_size
        if size % world_size:
            raise RecipeError(f"self_training.batch_size {size} is not a multiple of the {world_size} processes.")
        seed = engine.seed ^ _OTHER_ORDER
        stop = self.recipe.schedule.iterations
        batches = Batches(len(self.views), size, seed, max(start, self.burn_in), stop, rank, world_size)
        loader: Any = make_batches(self.views, batches, engine.workers)
        return iter(loader)

    def start(self, model: nn.Module) -> None:
        """Set the teacher to the student, at the end of the burn-in."""
        teachers.follow(self.teacher, model, 0.0)

    def follow(self, model: nn.Module, step: int) -> None:
        """Move the teacher towards the student after iteration ``step`` (from 0)."""
        momentum = teachers.momentum_of(self.recipe.self_training, step - self.burn_in + 1)
        teachers.follow(self.teacher, model, momentum)

    def warn(self) -> None:
        """Log a warning if no pseudo-label of this session passed, so that unlabeled images taught nothing."""
        if self.passed == 0:
            scores = ", ".join(f"{score:g}" for score in self.recipe.self_training.thresholds)
            _log.warning(
                "No detection on unlabeled images reached self_training.thresholds (%s): "
                "nothing was learned from them.\n"
                "Lower it, or train longer at first: --set self_training.thresholds=[0.5]",
                scores,
            )

    def backward(
        self, batch: Sequence[WeakView], fabric: Fabric, wrapped: Any, losses_of: Callable[[list[Sample]], Losses]
    ) -> Losses:
        """Add the gradients of the weighted losses on pseudo-labels of a batch.

        Losses of classes are of all pseudo-labels, those of boxes of the certain ones, each from its own forward, as in
        Soft Teacher. Processes exchange gradients in the backward of the labeled batch, which has to follow. A batch
        without pseudo-labels has no losses, as in MMDetection: they would teach that everything is background.

        Args:
            fabric: what ``wrapped``, the student, is set up with.
            losses_of: the student's losses on a batch.

        Returns:
            The losses, their sum as ``loss``, and the counts of `PseudoBatch`.
        """
        settings = self.recipe.self_training
        pseudo = self.label(batch, fabric.device)
        values: Losses = {name: torch.tensor(value) for name, value in {"loss": 0.0, **pseudo.counts}.items()}
        weight = settings.weight if pseudo.counts["pseudo_boxes"] else 0.0
        self.passed = (self.passed or 0.0) + pseudo.counts["pseudo_boxes"]
        # Several processes synchronize their norms, so that none may leave a forward out.
        every = fabric.world_size > 1
        parts = [(pseudo.samples, False)] if weight or every else []
        if settings.box_uncertainty and (pseudo.counts["pseudo_located"] or every):
            parts.append((pseudo.located, True))
        for samples, of_boxes in parts:
            with fabric.no_backward_sync(wrapped):
                losses = {
                    f"loss_pseudo_{name.removeprefix('loss_')}": weight * value
                    for name, value in losses_of(samples).items()
                    if ("box_reg" in name) == of_boxes and "mask" not in name
                }
                loss = torch.stack(list(losses.values())).sum()
                fabric.backward(loss)
            values |= {name: value.detach() for name, value in losses.items()}
            values["loss"] = values["loss"].to(loss.device) + loss.detach()
        return values

    def label(self, batch: Sequence[WeakView], device: torch.device) -> PseudoBatch:
        """Label weak views by the teacher, and return strong views of the same images."""
        images = [pixels_CHW.to(device).float() / 255 for pixels_CHW, _ in batch]
        with torch.autocast(device.type, torch.bfloat16, enabled=self.recipe.engine.precision == "bf16"):
            rows = teachers.label(self.teacher, images, self.recipe.self_training)
        settings, engine = self.recipe.self_training, self.recipe.engine
        samples, located, counts = [], [], dict.fromkeys(COUNTS, 0.0)
        for (pixels_CHW, place), row in zip(batch, rows, strict=True):
            passing_D = teachers.passes(row["scores"], row["labels"], settings.thresholds)
            certain_M = row["uncertainty"][passing_D] <= settings.box_uncertainty
            target = {"boxes": row["boxes"][passing_D], "labels": row["labels"][passing_D], "certain": certain_M}
            unsure_K4 = row["boxes"][~passing_D & (row["scores"] >= settings.ignore_above)]
            strong = strong_view(View(pixels_CHW, target, unsure_K4), self.views.flip, (engine.seed, *place))
            samples.append(_sample(with_unsure(strong), None, self.recipe.detector.detector))
            located.append(_sample(strong, strong.target["certain"], self.recipe.detector.detector))
            counts["pseudo_boxes"] += int(passing_D.sum()) / len(batch)
            counts["pseudo_candidates"] += len(passing_D) / len(batch)
            counts["pseudo_located"] += int(certain_M.sum()) / len(batch)
            counts["pseudo_unsure"] += len(unsure_K4) / len(batch)
            counts["pseudo_scores"] += float(row["scores"][passing_D].sum()) / len(batch)
        return PseudoBatch(samples, located, counts)


COUNTS = ("pseudo_boxes", "pseudo_candidates", "pseudo_located", "pseudo_scores", "pseudo_unsure")


def pseudo_figures(values: dict[str, float]) -> dict[str, float]:
    """Return the logged values with the counts of pseudo-labels as boxes per image, mean score and shares."""
    if "pseudo_boxes" not in values:
        return values
    boxes = values["pseudo_boxes"]
    return {
        **{name: value for name, value in values.items() if name not in COUNTS},
        "pseudo_boxes": boxes,
        "pseudo_score": values["pseudo_scores"] / max(boxes, 1e-9),
        "pseudo_share": boxes / max(values["pseudo_candidates"], 1e-9),
        "pseudo_located": values["pseudo_located"] / max(boxes, 1e-9),
        "pseudo_unsure": values["pseudo_unsure"],
    }


def pseudo_words(values: Mapping[str, float]) -> str:
    """Return what a line of the log reports of `pseudo_figures`; empty without them."""
    if "pseudo_boxes" not in values:
        return ""
    return (
        f"  pseudo-labels {values['pseudo_boxes']:.1f} per image, score {values['pseudo_score']:.2f}, "
        f"{values['pseudo_share']:.0%} pass, {values['pseudo_located']:.0%} with box losses, "
        f"{values['pseudo_unsure']:.1f} per image ignored"
    )


def _sample(view: View, keep_M: Tensor | None, detector: str) -> Sample:
    target = {name: view.target[name] for name in ("boxes", "labels")}
    if keep_M is not None:
        target = {name: rows[keep_M] for name, rows in target.items()}
    if detector == "mask_rcnn":  # its heads need masks; their loss on pseudo-labels is left out
        target["masks"] = torch.zeros((len(target["labels"]), *view.pixels_CHW.shape[1:]), dtype=torch.uint8)
    return view.pixels_CHW, target


def check_unused(recipe: FinetuneRecipe) -> None:
    """Check that the recipe of a run on labels alone has no settings of self-training.

    Raises:
        RecipeError: it has.
    """
    if recipe.self_training != SelfTraining():
        raise RecipeError(
            "The recipe has settings of self_training, but this run has no unlabeled images, so they have no effect.\n"
            "Give images to adept finetune: --unlabeled IMAGES. Or leave the settings out."
        )


def check_self_training(recipe: FinetuneRecipe, classes: int, unlabeled: Unlabeled | None) -> None:
    """Check the settings of self-training against the rest of the run.

    Args:
        recipe: resolved (`FinetuneRecipe.resolved`).
        classes: without the background.
        unlabeled: images of the run; without any, the settings must be the defaults.

    Raises:
        RecipeError: they do not fit.
    """
    if unlabeled is None:
        check_unused(recipe)
        return
    settings, iterations = recipe.self_training, recipe.schedule.iterations
    if len(settings.thresholds) not in (1, classes):
        raise RecipeError(
            f"self_training.thresholds has {len(settings.thresholds)} scores for {classes} classes.\n"
            "Give one for all, or one per class: --set self_training.thresholds=[0.7]"
        )
    if settings.burn_in_of(iterations) >= iterations:
        raise RecipeError(
            f"self_training.burn_in is {settings.burn_in_of(iterations)} of {iterations} iterations: the teacher never "
            "labels an image.\nLet it follow the iterations: --set self_training.burn_in=null"
        )
    if recipe.engine.augment == "strong":
        raise RecipeError(
            "engine.augment=strong is for training without unlabeled images: self-training has a weak and a strong "
            "view of every image.\nLeave it out, or set --augment flip_scale."
        )
    if settings.class_loss == "focal" and recipe.detector.detector == "cascade_rcnn":
        raise RecipeError(
            "self_training.class_loss=focal is for one box predictor; Cascade R-CNN has three.\n"
            "Use: --set self_training.class_loss=cross_entropy"
        )
