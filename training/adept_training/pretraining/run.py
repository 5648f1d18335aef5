"""A run in progress: its state, its logs and checkpoints, and when it must stop."""

from __future__ import annotations

import datetime
import functools
import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.optim import Optimizer

from adept_hub.errors import TrainingDivergedError
from adept_hub.io.schema import to_dict
from adept_hub.models.parts import DetectorParts
from adept_training.data.loader import Order
from adept_training.method.model import PretrainModel
from adept_training.planning.need import look_ahead, need_of, run_lines
from adept_training.pretraining.asked import Asked
from adept_training.pretraining.origin import PretrainStart
from adept_training.pretraining.pace import TIMED_STEPS, Pace
from adept_training.pretraining.recipe import Recipe
from adept_training.pretraining.watch.pictures import SHEET, TOP, as_record, first_few, write_sheet
from adept_training.pretraining.watch.probe import HeldOut, best_proposals, measure_rpn
from adept_training.pretraining.watch.rank import effective_rank, head_features
from adept_training.pretraining.watch.shortcuts import mean_colors, measure_head
from adept_training.runtime.journal import Journal, duration, progress_line
from adept_training.runtime.recipe_files import flatten
from adept_training.runtime.state import TrainingProgress, save_state


@dataclass
class Run:
    """The state of the training loop."""

    recipe: Recipe
    fabric: Fabric
    model: PretrainModel
    wrapped: Any
    optimizer: Optimizer
    order: Order
    held: HeldOut
    folder: Path
    journal: Journal
    progress: TrainingProgress
    identity: dict[str, str]
    #: Steps planned in all.
    steps: int
    #: Start of this session, by the performance counter.
    began: float
    origin: PretrainStart = field(default_factory=PretrainStart)
    saved: Path | None = None
    #: Duration of the last probe.
    probe_seconds: float = 0.0
    #: When the first step of this session ended.
    timed_from: float = 0.0
    #: Its number and the training time at its end, alike on all processes.
    paced_from: tuple[int, float] | None = None
    #: Command-line options, for the commands that are suggested.
    asked: Asked = field(default_factory=Asked)
    #: First step of this session.
    session_from: int = field(init=False)

    def __post_init__(self) -> None:
        self.session_from = self.progress.step

    def seconds(self) -> float:
        """Return the training time so far, earlier sessions included."""
        return self.progress.seconds + time.perf_counter() - self.began

    def agree(self, stopped: list[int]) -> tuple[bool, int, float]:
        """Return whether to stop now, the next step of the schedules, and the steps that the run will have finished at
        its end at its mean pace; the same on every process.

        The schedules' step is the run's own, or later if a time limit comes before the last step.
        """
        stop, seconds = float(bool(stopped)), self.seconds()
        if self.fabric.world_size > 1:
            agreed = self.fabric.all_reduce(torch.tensor([stop, seconds], device=self.fabric.device), reduce_op="max")
            stop, seconds = agreed.tolist()  # type: ignore[union-attr]  # a tensor in, a tensor out
        limit = self.recipe.engine.max_minutes
        if limit is None:
            return bool(stop), self.progress.step, self.steps
        share = min(seconds / (60 * limit), 1.0)
        place = max(self.progress.step, int(share * self.steps))
        return bool(stop) or share >= 1.0, place, self._reachable(seconds, 60 * limit)

    def _reachable(self, seconds: float, limit: float) -> float:
        """Estimate the run's last step from the pace since this session's first one, which compiles and fills caches.

        Until that is known, the plan's.
        """
        step = self.progress.step
        if self.paced_from is None and step > self.session_from:
            self.paced_from = step, seconds
        if self.paced_from is None or step == self.paced_from[0] or seconds <= self.paced_from[1]:
            return self.steps
        pace = (step - self.paced_from[0]) / (seconds - self.paced_from[1])
        return min(self.steps, step + max(limit - seconds, 0.0) * pace)

    @property
    def random_share(self) -> float | None:
        """Share of random initial values in the weights that an export would contain; None: unknown."""
        of_start, method = self.origin.random_share, self.recipe.method
        if method.freezes:
            return of_start  # whose backbone, FPN and RoI head are passed on unchanged
        trained: float | None = 0.0
        if method.has_target and self.recipe.export.network == "target":
            trained = None if of_start is None else self.progress.kept * of_start
        if trained is None or not method.frozen:
            return trained
        return max(trained, self.origin.start_random_share or 0.0)

    def time_pace(self, count: int) -> None:
        """Time the first steps of a session, then log the plan at that pace.

        Args:
            count: steps that this session has finished.
        """
        if count not in (1, TIMED_STEPS) or self.progress.step >= self.steps:
            return
        if self.fabric.device.type == "cuda":
            torch.cuda.synchronize()
        if count == 1:
            self.timed_from = time.perf_counter()
            return
        minutes, spent = self.recipe.engine.max_minutes, self.seconds()
        each = (time.perf_counter() - self.timed_from) / (TIMED_STEPS - 1)
        limit = None if minutes is None else 60 * minutes - spent
        pace = Pace(self.progress.step, self.steps, each, limit, spent)
        method, images, batch = self.recipe.method, self.order.images, self.order.batch_size
        need = need_of(method.name, method.objective)
        outlook = look_ahead(need, images, batch, pace.reachable)
        self.journal.record(
            "pace", step=pace.step, seconds_per_step=float(f"{each:.4g}"), reachable=pace.reachable,
            seconds_left=round(pace.seconds_left, 1), seen=outlook.seen, wanted=outlook.wanted, outlook=outlook.verdict,
        )  # fmt: skip
        lines = pace.lines(datetime.datetime.now().astimezone(), minutes)
        enough = pace.minutes_for(outlook.enough_steps)
        flat = flatten(to_dict(self.recipe))
        command = self.asked.longer(self.folder, flat, self.steps, outlook.enough_steps, enough)
        lines += [line for line in [method.momentum_line(pace.reachable)] if line]
        for line in [*lines, *run_lines(outlook, need, enough, command, self.asked.images)]:
            self.journal.say(line, "caution" if line.startswith("caution") else "neutral")

    def log(self, values: dict[str, float], lr: float, momentum: float) -> None:
        """Write a record and a line of progress.

        Raises:
            TrainingDivergedError: the loss is not finite, or the target's features have collapsed.
        """
        step, engine = self.progress.step, self.recipe.engine
        values |= {"lr": lr, "epoch": step / self.order.steps_per_epoch}
        if self.recipe.method.has_target:
            values["momentum"] = momentum
        if self.random_share is not None:
            values["random_share"] = self.random_share
        self.journal.record("train", step=step, **{k: float(f"{v:.6g}") for k, v in values.items()})
        left = (self.steps - step) * self.order.batch_size / values["images_per_s"]
        if engine.max_minutes is not None:
            left = min(left, max(60 * engine.max_minutes - self.seconds(), 0))
        left += self._probes_ahead() * self.probe_seconds
        self.journal.say(progress_line(step, self.steps, values, left))
        self.journal.bar.note(f"ETA {duration(left)}, loss {values['loss']:.3f}, {values['images_per_s']:.1f} img/s")
        if not math.isfinite(values["loss"]):
            raise TrainingDivergedError(
                f"The loss is {values['loss']} at step {step}.\n{self._good()}. "
                "Lower optimizer.lr, or set optimizer.clip=1."
            )
        spread = values.get("spread_target", 1.0)
        if step >= engine.collapse_after and spread < engine.collapse_spread:
            raise TrainingDivergedError(
                f"Collapsed: at step {step} every box has the same feature (spread {spread:.4f}).\n"
                f"{self._good()}. Lower optimizer.lr, or raise method.momentum."
            )

    def _probes_ahead(self) -> int:
        """Return how many probes are to come: the last, and those between steps, unless a time limit counts them."""
        every, step = self.recipe.engine.probe_every, self.progress.step
        if not every or self.recipe.engine.max_minutes is not None:
            return 1
        return 1 + (self.steps - 1) // every - (step - 1) // every

    def save(self) -> None:
        """Write a checkpoint, unless it would be useless.

        Raises:
            TrainingDivergedError: a parameter is not finite.
        """
        if not all(bool(torch.isfinite(p).all()) for p in self.model.parameters()):
            raise TrainingDivergedError(
                f"A parameter is no longer finite at step {self.progress.step}.\n{self._good()}. "
                "Lower optimizer.lr, or set optimizer.clip=1."
            )
        if self.fabric.is_global_zero:
            scaler = self.fabric.strategy.precision.state_dict()
            progress = TrainingProgress(self.progress.step, self.seconds(), scaler, self.progress.kept)
            keep, folder = self.recipe.engine.keep, self.folder / "checkpoints"
            self.saved = save_state(folder, self.model, self.optimizer, progress, self.identity, keep)
        self.fabric.barrier()

    def watch(self) -> None:
        """Save a few held-out images, on which every probe shows the RPN's proposals."""
        if self.fabric.is_global_zero and self._probes():
            few = first_few(self.held)
            write_sheet(few, self.folder / SHEET)
            self.journal.record("held_out", boxes=as_record(few.boxes_M4))

    def probe(self) -> dict[str, float]:
        """Measure both heads' features, and the RPN, if trained, on both feature maps (held-out images)."""
        if not len(self.held.boxes_M4) or self.recipe.method.name == "byol":
            return {}
        values: dict[str, float] = {}
        began = time.perf_counter()
        if self.fabric.is_global_zero:
            networks = {"online": self.model.online.parts}
            if self.recipe.method.has_target:
                networks["target"] = self.model.target.parts
            for name, parts in networks.items():
                features = head_features(parts, self.held, self.model.preprocessing)
                head = {"head_rank": effective_rank(features), **measure_head(features, self.held, self._colors)}
                values |= {f"{name}_{key}": value for key, value in head.items()}
                if self.recipe.method.trains_rpn:
                    metrics = measure_rpn(parts, self.model.online.parts.rpn, self.held, self.model.preprocessing)
                    values |= {f"{name}_{key}": value for key, value in metrics.items()}
            self.journal.record("probe", step=self.progress.step, **values)
            if self._probes():
                self._show_proposals(networks.get(self.recipe.export.network, networks["online"]))
            text = "  ".join(f"{key} {value:.3f}" for key, value in values.items())
            self.journal.say(f"held out: {text}")
        self.fabric.barrier()
        self.probe_seconds = time.perf_counter() - began
        return values

    @functools.cached_property
    def _colors(self) -> Tensor:
        return mean_colors(self.held)

    def _show_proposals(self, parts: DetectorParts) -> None:
        rpn, few = self.model.online.parts.rpn, first_few(self.held)
        best = best_proposals(parts, rpn, few, self.model.preprocessing, TOP)
        self.journal.record("proposals", step=self.progress.step, boxes=as_record(best))

    def mean(self, scalars: dict[str, Tensor]) -> dict[str, Tensor]:
        """Average scalars over the processes."""
        if self.fabric.world_size == 1:
            return scalars
        stacked = torch.stack([value.float() for value in scalars.values()])
        reduced = self.fabric.all_reduce(stacked, reduce_op="mean")
        return dict(zip(scalars, torch.unbind(reduced), strict=True))  # type: ignore[arg-type]  # a tensor

    def _probes(self) -> bool:
        return self.recipe.method.trains_rpn and len(self.held.boxes_M4) > 0

    def _good(self) -> str:
        return f"The last good checkpoint: {self.saved}" if self.saved else "No checkpoint was written yet"
