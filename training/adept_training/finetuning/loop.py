"""The fine-tuning loop. All randomness of an iteration is a function of (seed, iteration), so it can be resumed.

Legend: C channels, H x W of an image.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, cast

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim import SGD, Optimizer
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from adept_hub.errors import RecipeError, TrainingDivergedError
from adept_training.finetuning.calibrate import calibrate_head
from adept_training.finetuning.norms import (
    batch_norms,
    frozen_modules,
    measure_statistics,
    precise_statistics,
    set_training,
    without_statistics,
)
from adept_training.finetuning.recipe import FinetuneRecipe, lr_factor
from adept_training.finetuning.samples import Batches, LabeledSamples, Sample, make_batches
from adept_training.runtime import launch
from adept_training.runtime.cpus import use_threads
from adept_training.runtime.journal import Meter
from adept_training.runtime.progress import track
from adept_training.runtime.workers import plain_errors
from adept_training.selftraining.teaching import BothViews, Teaching, pseudo_figures
from adept_training.selftraining.unlabeled import Unlabeled

#: First iteration that is not used for training: batches for precise statistics are drawn from here on.
_ELSEWHERE = 1 << 40
#: Number of batches on which the length of the head's features is measured.
_CALIBRATION = 4
#: Number of batches that give statistics to norms without any, if the recipe measures none otherwise.
_MEASURED = 50


@dataclass
class Fit:
    """A detector in training. ``step`` is the number of finished iterations."""

    recipe: FinetuneRecipe
    fabric: Fabric
    model: GeneralizedRCNN
    wrapped: Any
    optimizer: Optimizer
    samples: LabeledSamples
    step: int = 0
    #: Number of norms that had no statistics to freeze and were given those of training images.
    measured: int = 0
    #: Teacher and unlabeled images of self-training.
    teaching: Teaching | None = None
    #: Mean time of the last iterations that were logged.
    seconds_per_step: float = 0.0

    @property
    def learned(self) -> GeneralizedRCNN:
        """The detector to evaluate and to keep: the teacher, once it has begun."""
        if self.teaching is not None and self.step > self.teaching.burn_in:
            return self.teaching.teacher
        return self.model

    @property
    def stored(self) -> nn.Module:
        """Everything that a checkpoint contains: the detector, and in self-training the teacher."""
        if self.teaching is None:
            return cast(nn.Module, self.model)
        return nn.ModuleDict({"student": self.model, "teacher": self.teaching.teacher})

    @property
    def precise_batches(self) -> int:
        """Number of batches that `precise` measures statistics on."""
        return self.recipe.norms.precise_batches if self.recipe.norms.policy == "train" else 0

    def precise(self) -> AbstractContextManager[None]:
        """Return a context in which batch norms have exact statistics of the training images."""
        count = self.precise_batches
        if not count:
            return contextlib.nullcontext()
        model = self.learned
        set_training(model, self.recipe, self.step)
        return precise_statistics(model, *self._shown(count, model))

    def measure_missing(self) -> None:
        """Measure statistics on training images for norms to be frozen that have none (scratch, new parts)."""
        norms = without_statistics(self.model)
        if self.recipe.norms.policy == "frozen" and norms:
            set_training(self.model, self.recipe, 0)
            measure_statistics(norms, *self._shown(self.recipe.norms.precise_batches or _MEASURED))
            self.measured = len(norms)

    def _shown(self, count: int, model: nn.Module | None = None) -> tuple[Iterable[object], Callable[[object], object]]:
        """Return batches that are not used for training, the same at every call, and the forward function."""
        loader = make_batches(self.samples, self._batches(_ELSEWHERE, _ELSEWHERE + count), 0)
        batches = track(loader, count, "measuring statistics of training images", " batches")
        torch.manual_seed(self.recipe.engine.seed)
        run = None if model is self.model else model
        return batches, lambda batch: self._losses(cast("list[Sample]", batch), run)

    def _losses(self, batch: list[Sample], model: nn.Module | None = None) -> dict[str, Tensor]:
        device = self.fabric.device
        images = [pixels_CHW.to(device).float() / 255 for pixels_CHW, _ in batch]
        targets = [{key: value.to(device) for key, value in target.items()} for _, target in batch]
        with torch.autocast(device.type, torch.bfloat16, enabled=self.recipe.engine.precision == "bf16"):
            losses: dict[str, Tensor] = (model or self.wrapped)(images, targets)
        return losses

    def backward(self, batch: list[Sample]) -> dict[str, Tensor]:
        """Add the gradients of the losses on a batch; return the losses and their sum, ``loss``."""
        losses = self._losses(batch)
        loss = torch.stack(list(losses.values())).sum()
        self.fabric.backward(loss)
        return {"loss": loss.detach(), **{name: value.detach() for name, value in losses.items()}}

    def _batches(self, start: int, stop: int) -> Batches:
        engine = self.recipe.engine
        return Batches(
            len(self.samples), engine.batch_size, engine.seed, start, stop,
            self.fabric.global_rank, self.fabric.world_size,
        )  # fmt: skip


def make_fabric(recipe: FinetuneRecipe, accelerator: str = "auto") -> Fabric:
    """Create a Fabric of the processes that torchrun or SLURM started (``auto``), or of this one on a device."""
    use_threads(recipe.engine.threads)
    # Fabric's own mixed precision also casts the targets to bfloat16, which is too coarse for pixel coordinates.
    return launch.make_fabric("fp32", accelerator)


def prepare(
    model: GeneralizedRCNN,
    samples: LabeledSamples,
    recipe: FinetuneRecipe,
    fabric: Fabric,
    unlabeled: Unlabeled | None = None,
) -> Fit:
    """Freeze what is not trained, build the optimizer, and move everything to the device.

    Args:
        recipe: resolved (`FinetuneRecipe.resolved`).
        unlabeled: images of self-training.

    Raises:
        RecipeError: the batch size is not divisible by the number of processes.
    """
    if recipe.engine.batch_size % fabric.world_size:
        raise RecipeError(
            f"engine.batch_size {recipe.engine.batch_size} is not a multiple of the {fabric.world_size} processes."
        )
    if recipe.optimizer.layers == "last":
        for name, param in model.named_parameters():
            param.requires_grad_("predictor" in name)
    for module in frozen_modules(model, recipe):
        module.requires_grad_(False)
    launch.synchronize_norms(model, fabric)
    optimizer = make_optimizer(model, recipe, fused=fabric.device.type == "cpu")
    wrapped, optimizer = fabric.setup(model, optimizer)
    _keep_coordinates(model)
    # Training sides belong to the transform in training only: `eval` uses the last one, the test side.
    model.transform.min_size = (*recipe.training_sides, recipe.detector.test_side)
    model.transform.torch_choice = _Sides(len(recipe.training_sides))
    fit = Fit(recipe, fabric, model, wrapped, optimizer, samples)
    fit.measure_missing()
    if recipe.detector.head_norm:
        set_training(model, recipe, 0)
        calibrate_head(
            model, *fit._shown(_CALIBRATION), recipe.detector.head_norm,
            lambda value: cast(Tensor, fabric.all_reduce(value, reduce_op="mean")),
        )  # fmt: skip
    if unlabeled is not None:
        fit.teaching = Teaching.of(model, unlabeled, recipe)
    return fit


def _keep_coordinates(model: GeneralizedRCNN) -> None:
    """Keep boxes and their inputs in float32 under autocast: bfloat16 resolves 300 pixels only to the nearest 2.

    torchvision decodes boxes in the dtype of the deltas, and RoIAlign reads them in that of the features.
    """
    predictor = model.roi_heads.box_predictor
    predictors = list(predictor) if isinstance(predictor, nn.ModuleList) else [predictor]
    for module in (model.backbone, model.rpn.head, *predictors):
        module.register_forward_hook(lambda _, __, output: _as_float(output))


def _as_float(output: Any) -> Any:
    if isinstance(output, Tensor):
        return output.float()
    if isinstance(output, dict):
        return type(output)((key, _as_float(value)) for key, value in output.items())
    return type(output)(_as_float(value) for value in output)


@dataclass(frozen=True)
class _Sides:
    """Choice of one of the first ``count`` sides by torch's generator."""

    count: int

    def __call__(self, sides: tuple[int, ...]) -> int:
        return sides[int(torch.randint(self.count, ()))]


def make_optimizer(model: nn.Module, recipe: FinetuneRecipe, *, fused: bool = False) -> SGD:
    """Build SGD with a separate weight decay for batch norms; ``fused`` reads and writes each tensor once."""
    inside = {id(param) for norm in batch_norms(model) for param in norm.parameters()}
    trained = [param for param in model.parameters() if param.requires_grad]
    groups = [
        {"params": [p for p in trained if id(p) not in inside], "weight_decay": recipe.optimizer.weight_decay},
        {"params": [p for p in trained if id(p) in inside], "weight_decay": recipe.optimizer.norm_decay},
    ]
    groups = [group for group in groups if group["params"]]
    return SGD(groups, lr=recipe.peak_lr, momentum=recipe.optimizer.momentum, fused=fused)


def iteration_seed(seed: int, step: int, rank: int) -> int:
    """Return a 64-bit seed for torch: distinct for every run seed below 2**23, step and rank, and a digest above."""
    if seed >= 1 << 23:
        seed = int.from_bytes(hashlib.sha256(str(seed).encode()).digest()[:4]) >> 9
    return (seed << 40) + (step << 10) + rank


def train(fit: Fit, after_step: Callable[[int, dict[str, float] | None], bool]) -> None:
    """Run the remaining iterations.

    Args:
        after_step: called with the number of finished iterations and, every ``log_every``, the means of the losses;
            it may switch the mode (to evaluate), and returning True ends the training.

    Raises:
        TrainingDivergedError: a loss is not finite.
    """
    recipe, teaching = fit.recipe, fit.teaching
    total, rank = recipe.schedule.iterations, fit.fabric.global_rank
    labeled = fit.samples if teaching is None else BothViews(fit.samples)
    batches = iter(make_batches(labeled, fit._batches(fit.step, total), recipe.engine.workers))
    unlabeled = None if teaching is None else teaching.batches(fit.step, rank, fit.fabric.world_size)
    meter = Meter()
    for step in range(fit.step, total):
        taught = teaching is not None and step >= teaching.burn_in
        requested_at = time.perf_counter()
        with plain_errors():
            batch = next(batches)
            others = next(unlabeled) if unlabeled is not None and taught else []
        waited = time.perf_counter() - requested_at
        set_training(fit.model, recipe, step)
        # torchvision samples anchors and RoIs from the global generator.
        torch.manual_seed(iteration_seed(recipe.engine.seed, step, rank))
        for group in fit.optimizer.param_groups:
            group["lr"] = recipe.peak_lr * lr_factor(step, recipe)
        if teaching is not None and step == teaching.burn_in:
            teaching.start(fit.model)
            meter.take()  # a line of the log is of one kind of iterations
        fit.optimizer.zero_grad(set_to_none=True)
        values: dict[str, Tensor] = {}
        if teaching is not None and taught:
            values = teaching.backward(others, fit.fabric, fit.wrapped, fit._losses)
        pseudo_loss = values.get("loss", 0.0)
        values |= fit.backward(batch)
        values["loss"] = values["loss"] + pseudo_loss
        if recipe.optimizer.clip:
            fit.fabric.clip_gradients(fit.wrapped, fit.optimizer, max_norm=recipe.optimizer.clip)
        fit.optimizer.step()
        if teaching is not None and taught:
            teaching.follow(fit.model, step)
        fit.step = step + 1
        meter.add(values, len(batch) + len(others), waited)
        logged = None
        if fit.step % recipe.engine.log_every == 0 or fit.step == total:
            fit.seconds_per_step = meter.seconds_per_step
            logged = pseudo_figures(meter.take()) | {"lr": fit.optimizer.param_groups[0]["lr"]}
            if not math.isfinite(logged["loss"]):
                raise TrainingDivergedError(
                    f"The loss is {logged['loss']} at iteration {fit.step}.\n"
                    "Lower optimizer.lr, or set optimizer.clip=10."
                )
        with meter.paused():
            ended = after_step(fit.step, logged)
        if ended:
            break
    if teaching is not None:
        teaching.warn()
