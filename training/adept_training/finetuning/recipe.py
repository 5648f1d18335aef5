"""Configuration of a fine-tuning run as frozen dataclasses, from YAML and ``--set``, and back to YAML.

The defaults match these weights (SoCo's Detectron2 configs): RGB with the checkpoint's normalization, trained and
synchronized batch norms, weight decay 2.5e-5, a learning rate of 0.02 at a batch of 16 scaled to yours, and only flips
and scales as augmentations.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal

from adept_hub.arguments.calls import checked
from adept_hub.detectors.recipe import DetectorRecipe, Share
from adept_hub.errors import RecipeError
from adept_hub.io.schema import Length, Range, from_dict
from adept_training.runtime.recipe_files import read_recipe, recipe_folder, recipe_yaml, shipped
from adept_training.selftraining.settings import SelfTraining

Decay = Annotated[float, Range(0.0, 10.0)]


@dataclass(frozen=True)
class FinetuneOptimizerRecipe:
    """SGD with momentum, as in the reference recipes of all detectors."""

    #: Learning rate at a batch of ``lr_batch``; scaled linearly to the actual batch, unless ``lr_batch`` is 0.
    lr: Annotated[float, Range(0.0, 1e4, above=True)] = 0.02
    #: Batch size to which ``lr`` refers; 0: the rate is not scaled.
    lr_batch: Annotated[int, Range(0, 1_000_000)] = 16
    #: Momentum of SGD.
    momentum: Annotated[float, Range(0.0, 1.0, below=True)] = 0.9
    #: Weight decay of all weights but those of norms.
    weight_decay: Decay = 2.5e-5
    #: Weight decay of batch norms' gains and biases (Detectron2: none).
    norm_decay: Decay = 0.0
    #: Maximum norm of the gradient; 0: not clipped.
    clip: Annotated[float, Range(0.0, 1e9)] = 0.0
    #: Layers to train: all, or only the box (and mask) predictors.
    layers: Literal["all", "last"] = "all"
    #: What stays as it is in the source, norms in evaluation mode: nothing, the first convolution and its norm, or the
    #: whole backbone.
    freeze: Literal["none", "stem", "backbone"] = "none"


@dataclass(frozen=True)
class FinetuneScheduleRecipe:
    """Linear warm-up, then step decay."""

    #: Number of iterations; 0: twelve passes over the images (COCO's 1x), but at least 500.
    iterations: Annotated[int, Range(0, 1_000_000_000)] = 0
    #: Shares of the iterations after which the rate is multiplied by ``gamma`` (60k and 80k of 90k).
    steps: Annotated[tuple[Share, ...], Length(0, 100)] = (2 / 3, 8 / 9)
    #: Factor of the rate at each step.
    gamma: Share = 0.1
    #: Iterations of warm-up; null: 1,000, but at most a tenth of all.
    warmup: Annotated[int | None, Range(0, 1_000_000_000)] = None
    #: The first iteration's rate as a fraction of the peak.
    warmup_start: Share = 0.001


@dataclass(frozen=True)
class NormsRecipe:
    """Batch norms.

    ``train`` updates the statistics (synchronized over processes), ``freeze_after_warmup`` stops the updates after the
    warm-up, ``frozen`` uses the checkpoint's statistics from the start; norms without statistics (scratch, a part that
    the source lacks, a mask head) get those of training images first.
    """

    #: Mode of batch norms during training.
    policy: Literal["train", "freeze_after_warmup", "frozen"] = "train"
    #: Number of batches over which statistics are computed before an evaluation (Detectron2's PRECISE_BN); 0: never.
    precise_batches: Annotated[int, Range(0, 100_000)] = 50


@dataclass(frozen=True)
class FinetuneEngineRecipe:
    """Execution of the run."""

    #: Images per iteration, over all processes; 0: 16 with an accelerator, 2 without.
    batch_size: Annotated[int, Range(0, 65_536)] = 0
    #: Precision of forward and backward.
    precision: Literal["fp32", "bf16"] = "fp32"
    #: Seed of data order, augmentation and new layers.
    seed: Annotated[int, Range(0, 2**63 - 1)] = 0
    #: Loader processes.
    workers: Annotated[int, Range(0, 256)] = 2
    #: Probability of a mirrored image, unless ``augment`` is ``none``.
    flip: Share = 0.5
    #: Augmentation of training images. ``none``: neither flips nor ``train_sides``, all at ``test_side``;
    #: ``flip_scale``: flips and ``train_sides`` (the protocols); ``strong``: also scale jitter and crops (Soft Teacher,
    #: arXiv 2106.09018), color jitter, blur and erasing outside boxes (Unbiased Teacher, arXiv 2102.09480), and
    #: copy-paste within the batch (arXiv 2012.07177).
    augment: Literal["none", "flip_scale", "strong"] = "flip_scale"
    #: Evaluations on the validation split, spread evenly; the last is at the end.
    evaluations: Annotated[int, Range(0, 1000)] = 5
    #: Iterations between lines of the log.
    log_every: Annotated[int, Range(1, 1_000_000_000)] = 20
    #: Minutes between checkpoints.
    checkpoint_minutes: Annotated[float, Range(0.0, 1e6)] = 5.0
    #: Checkpoints that are kept.
    keep: Annotated[int, Range(1, 1000)] = 2
    #: Threads for the CPU's arithmetic, at most the available CPUs; 0: torch's choice.
    threads: Annotated[int, Range(0, 1024)] = 0


@dataclass(frozen=True)
class FinetuneRecipe:
    """Complete configuration of a fine-tuning, except its source and its labels."""

    detector: DetectorRecipe = field(default_factory=DetectorRecipe)
    optimizer: FinetuneOptimizerRecipe = field(default_factory=FinetuneOptimizerRecipe)
    schedule: FinetuneScheduleRecipe = field(default_factory=FinetuneScheduleRecipe)
    norms: NormsRecipe = field(default_factory=NormsRecipe)
    engine: FinetuneEngineRecipe = field(default_factory=FinetuneEngineRecipe)
    self_training: SelfTraining = field(default_factory=SelfTraining)

    def to_yaml(self) -> str:
        """Return the complete recipe, defaults included."""
        return recipe_yaml(self)

    def resolved(self, images: int, accelerator: bool) -> FinetuneRecipe:
        """Return the recipe with every automatic value resolved for this number of images."""
        batch = self.engine.batch_size or (16 if accelerator else 2)
        iterations = self.schedule.iterations or max(round(12 * images / batch), 500)
        return replace(
            self,
            engine=replace(self.engine, batch_size=batch),
            schedule=replace(self.schedule, iterations=iterations),
        )

    @property
    def training_sides(self) -> tuple[int, ...]:
        """Shorter sides of training images in pixels, one sampled per image."""
        detector = self.detector
        return (detector.test_side,) if self.engine.augment == "none" else detector.train_sides

    @property
    def peak_lr(self) -> float:
        """Learning rate at this recipe's batch size."""
        scale = self.engine.batch_size / self.optimizer.lr_batch if self.optimizer.lr_batch else 1.0
        return self.optimizer.lr * scale

    @property
    def warmup(self) -> int:
        """Iterations of warm-up."""
        named = self.schedule.warmup
        return min(1000, self.schedule.iterations // 10) if named is None else named


def lr_factor(step: int, recipe: FinetuneRecipe) -> float:
    """Return the factor of the peak learning rate in iteration 0, 1, ..."""
    schedule, warmup = recipe.schedule, recipe.warmup
    if step < warmup:
        return schedule.warmup_start + (1 - schedule.warmup_start) * step / warmup
    passed = sum(step >= round(share * schedule.iterations) for share in schedule.steps)
    return float(schedule.gamma**passed)


def protocol_names() -> list[str]:
    """Return the names of the bundled fine-tuning recipes."""
    return shipped(recipe_folder() / "downstream")


@checked
def load_finetune_recipe(source: str | Path | None = None, settings: Iterable[str] = ()) -> FinetuneRecipe:
    """Load a recipe from a file or by name, with single values changed.

    Args:
        source: a YAML file, a name of `protocol_names`, or None for the defaults.
        settings: ``section.field=value``, the value in YAML.

    Raises:
        RecipeError: no such recipe, not YAML, an unknown field, a wrong type, or a value out of range.
    """
    folder = recipe_folder() / "downstream"
    where, data = read_recipe(FinetuneRecipe, source, settings, folder, "fine-tuning recipe", "schedule.iterations=500")
    recipe = from_dict(FinetuneRecipe, data, where, RecipeError)
    _check(recipe)
    return recipe


def _check(recipe: FinetuneRecipe) -> None:
    detector = recipe.detector
    warmup, iterations = recipe.schedule.warmup or 0, recipe.schedule.iterations
    if 0 < iterations <= warmup:
        raise RecipeError(
            f"schedule.warmup is {warmup} of {iterations or 'automatic'} iterations: the full rate is never reached.\n"
            "Let it follow the iterations: --set schedule.warmup=null"
        )
    if len(detector.anchors) not in (0, 5):
        raise RecipeError(
            f"detector.anchors has {len(detector.anchors)} sizes; P2-P6 need five, or [] for those of the source."
        )
    if detector.detector == "cascade_rcnn" and detector.classifier == "cosine":
        raise RecipeError("detector.classifier=cosine is for one box predictor; Cascade R-CNN has three.")
    if recipe.optimizer.layers == "last" and recipe.norms.policy == "train":
        raise RecipeError("optimizer.layers=last does not train the batch norms: set norms.policy=frozen as well.")
    if recipe.optimizer.layers == "last" and recipe.optimizer.freeze != "none":
        raise RecipeError(
            f"optimizer.layers=last freezes the backbone already: optimizer.freeze={recipe.optimizer.freeze} would "
            "change nothing.\nLeave it out: --set optimizer.freeze=none"
        )
