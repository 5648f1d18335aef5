"""The pre-training run, from photographs to a checkpoint folder; the loop is `_train`."""

from __future__ import annotations

import hashlib
import json
import math
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, TextIO, cast

import torch
from lightning_fabric import Fabric
from torch.optim import Optimizer

from adept_hub.atomic import atomic_file, disk_errors
from adept_hub.checkpoint import CONFIG, read_config, read_tensors
from adept_hub.errors import ImagesError, OutputExistsError, RecipeError, TrainingDivergedError
from adept_hub.schema import to_dict
from adept_hub.spec import Metric
from adept_training.data.loader import BoxTable, Order, Samples, Steps, make_loader
from adept_training.engine.export import export_model
from adept_training.engine.journal import Journal, Meter, duration, progress_line
from adept_training.engine.optim import make_optimiser, set_lr
from adept_training.engine.probe import HeldOut, load_held_out, rpn_recall, split_keys
from adept_training.engine.recipe import Recipe
from adept_training.engine.state import Progress, load_state, save_state, saved_states
from adept_training.images import ImageSource
from adept_training.method.adept import Adept, Step
from adept_training.method.networks import momentum_at, update_target

_PRECISION = {"fp32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}


@dataclass(frozen=True)
class Outcome:
    """What a run came to. ``interrupted``: a signal or a time limit of the machine ended it, its state is saved."""

    folder: Path
    steps: int
    planned_steps: int
    interrupted: bool
    first: dict[str, float]
    last: dict[str, float]


@dataclass
class _Run:
    """Everything the loop holds in its hands."""

    recipe: Recipe
    fabric: Fabric
    model: Adept
    wrapped: Any
    optimiser: Optimizer
    order: Order
    held: HeldOut
    folder: Path
    journal: Journal
    progress: Progress
    identity: dict[str, str]
    steps: int
    saved: Path | None = None
    sitting: float = 0.0

    def seconds(self) -> float:
        return self.progress.seconds + time.perf_counter() - self.sitting

    def place(self) -> int:
        """The step of the schedules: the run's own, or further on where a time limit comes before the last step."""
        if self.recipe.engine.max_minutes is None:
            return self.progress.step
        share = min(self.seconds() / (60 * self.recipe.engine.max_minutes), 1.0)
        return max(self.progress.step, int(share * self.steps))


def pretrain(
    recipe: Recipe,
    source: ImageSource,
    table: BoxTable,
    folder: Path,
    *,
    init: Path | None = None,
    resume: bool = False,
    stream: TextIO | None = None,
    proposals: dict[str, Any] | None = None,
) -> Outcome:
    """Train, log to ``folder``/log.jsonl, keep checkpoints in ``folder``/checkpoints, leave ``folder``/export.

    Args:
        recipe: the whole configuration.
        source: the photographs; ``table`` their boxes.
        folder: of this run; must hold no other run unless ``resume``.
        init: a checkpoint folder to start from (required by separate training).
        stream: where progress lines go.
        proposals: what is recorded about the boxes.

    Raises:
        RecipeError: too few photographs for one batch, or separate training without ``init``.
        OutputExistsError: ``folder`` holds a run and ``resume`` is false.
        ResumeError: nothing to resume, or another recipe or other photographs.
        TrainingDivergedError: a loss that is not finite, or collapsed features.
        ImagesError: eight photographs in a row cannot be read.
    """
    checkpoints = folder / "checkpoints"
    if saved_states(checkpoints) and not resume:
        raise OutputExistsError(f"{folder} already holds a run.\nContinue it with --resume, or choose another --out.")
    if recipe.engine.threads:
        torch.set_num_threads(recipe.engine.threads)
    fabric = Fabric(precision=cast(Any, _PRECISION[recipe.engine.precision]))
    fabric.launch()
    keys, held_keys = split_keys(source.keys(), recipe.data.held_out)
    order = Order(len(keys), recipe.engine.batch_size, recipe.engine.seed, fabric.global_rank, fabric.world_size)
    _check_sizes(recipe, len(keys), fabric.world_size)
    steps = max(round(recipe.schedule.epochs * order.steps_per_epoch), 1)

    torch.manual_seed(recipe.engine.seed)
    model = Adept(recipe.model, recipe.method, recipe.views.sizes)
    _initialise(model, recipe, init)
    if recipe.engine.channels_last:
        model = model.to(memory_format=torch.channels_last)
    optimiser = make_optimiser(model, recipe.optimiser, recipe.engine.batch_size)
    progress = Progress()
    identity = {"recipe": _recipe_digest(recipe), "photographs": _digest(keys)}
    if resume:
        progress = load_state(checkpoints, model, optimiser, identity)
    wrapped, optimiser = fabric.setup(model, optimiser)
    journal = Journal(folder / "log.jsonl", stream if fabric.is_global_zero else None)
    with disk_errors(folder), atomic_file(folder / "recipe.yaml") as temporary:
        temporary.write_text(recipe.to_yaml(), encoding="utf-8")
    held = load_held_out(source, table, held_keys, recipe.views.sizes[0])
    run = _Run(
        recipe, fabric, model, wrapped, optimiser, order, held, folder, journal, progress, identity, steps,
        sitting=time.perf_counter(),
    )  # fmt: skip
    samples = Samples(source, table, tuple(keys), recipe.views, recipe.colours, recipe.engine.seed)
    journal.record(
        "start", step=progress.step, steps=steps, images=len(keys), held_out=len(held.boxes_M4), resumed=resume
    )
    journal.say(
        f"{len(keys)} photographs, {len(held.boxes_M4)} held out; {steps} steps of {order.batch_size} images"
        + (f", continued at step {progress.step}" if resume else "")
    )
    try:
        return _run(run, samples, proposals or {}, len(keys))
    finally:
        journal.close()


def _run(run: _Run, samples: Samples, proposals: dict[str, Any], images: int) -> Outcome:
    first = _probe(run)
    with _stop_signals() as stopped:
        _train(run, samples, stopped)
    if not run.saved or run.saved.stem != f"step-{run.progress.step:08d}":
        _save(run)
    interrupted = bool(stopped)
    last = _probe(run)
    epochs = run.progress.step / run.order.steps_per_epoch
    if not interrupted:
        export_model(
            run.model, run.recipe, run.folder / "export",
            images=images, epochs=epochs, proposals=proposals, metrics=_metrics(last),
        )  # fmt: skip
    run.journal.record("end", step=run.progress.step, seconds=round(run.seconds(), 1), interrupted=interrupted, **last)
    run.journal.say(
        f"{'interrupted' if interrupted else 'done'} after {run.progress.step} steps ({epochs:.2f} epochs), "
        f"{duration(run.seconds())}"
    )
    return Outcome(run.folder, run.progress.step, run.steps, interrupted, first, last)


def _train(run: _Run, samples: Samples, stopped: list[int]) -> None:
    """One pass over the steps that are left."""
    recipe, schedule, engine = run.recipe, run.recipe.schedule, run.recipe.engine
    warmup = round(schedule.warmup_epochs * run.order.steps_per_epoch)
    steps = Steps(run.order, run.progress.step, run.steps)
    batches = iter(make_loader(samples, steps, recipe.data.workers, pin=run.fabric.device.type == "cuda"))
    meter, last_save = Meter(), time.perf_counter()
    run.model.train()
    for step in range(run.progress.step, run.steps):
        asked = time.perf_counter()
        batch = run.fabric.to_device(next(batches))
        waited = time.perf_counter() - asked

        place = run.place()
        lr = set_lr(run.optimiser, place, warmup, run.steps, schedule.warmup_start, schedule.final_lr)
        momentum = momentum_at(place, run.steps, recipe.method.momentum)
        if recipe.method.contrasts:
            update_target(run.model.target, run.model.online, momentum)
        out: Step = run.wrapped(batch)
        run.optimiser.zero_grad(set_to_none=True)
        run.fabric.backward(out.loss)
        if recipe.optimiser.clip:
            run.fabric.clip_gradients(run.wrapped, run.optimiser, max_norm=recipe.optimiser.clip)
        run.optimiser.step()

        run.progress.step = step + 1
        scalars = {"loss": out.loss.detach(), **out.terms, **out.stats, "replaced": batch.replaced_N.sum()}
        meter.add(scalars, run.order.batch_size, waited)
        now = time.perf_counter()
        full = engine.max_minutes is not None and run.seconds() > 60 * engine.max_minutes
        if (step + 1) % engine.log_every == 0 or step + 1 == run.steps or stopped or full:
            _log(run, meter.take(), lr, momentum)
        if stopped or full:
            break
        if now - last_save > 60 * engine.checkpoint_minutes:
            _save(run)
            last_save = time.perf_counter()
        if engine.probe_every and (step + 1) % engine.probe_every == 0 and step + 1 < run.steps:
            _probe(run)


def _log(run: _Run, values: dict[str, float], lr: float, momentum: float) -> None:
    step, engine = run.progress.step, run.recipe.engine
    values |= {"lr": lr, "momentum": momentum, "epoch": step / run.order.steps_per_epoch}
    run.journal.record("train", step=step, **{k: float(f"{v:.6g}") for k, v in values.items()})
    speed = values["images_per_s"] / run.order.batch_size
    left = (run.steps - step) / speed
    if engine.max_minutes is not None:
        left = min(left, max(60 * engine.max_minutes - run.seconds(), 0))
    run.journal.say(progress_line(step, run.steps, values, left))
    good = f"The last good checkpoint: {run.saved}" if run.saved else "No checkpoint was written yet"
    if not math.isfinite(values["loss"]):
        raise TrainingDivergedError(
            f"The loss is {values['loss']} at step {step}.\n{good}. Lower optimiser.lr, or set optimiser.clip=1."
        )
    spread = values.get("spread_target", 1.0)
    if step >= engine.collapse_after and spread < engine.collapse_spread:
        raise TrainingDivergedError(
            f"Collapsed: at step {step} every box has the same feature (spread {spread:.4f}).\n"
            f"{good}. Lower optimiser.lr, or raise method.momentum."
        )


def _save(run: _Run) -> None:
    progress = Progress(run.progress.step, run.seconds())
    folder = run.folder / "checkpoints"
    if run.fabric.is_global_zero:
        run.saved = save_state(folder, run.model, run.optimiser, progress, run.identity, run.recipe.engine.keep)
    run.fabric.barrier()


def _probe(run: _Run) -> dict[str, float]:
    if not run.recipe.method.trains_rpn or len(run.held.boxes_M4) == 0:
        return {}
    model = run.model
    values: dict[str, float] = {}
    networks = {"online": model.online.parts}
    if run.recipe.method.contrasts:
        networks["target"] = model.target.parts
    for name, parts in networks.items():
        found = rpn_recall(parts, model.online.parts.rpn, run.held, model.preprocessing)
        values |= {f"{name}_{key}": value for key, value in found.items()}
    run.journal.record("probe", step=run.progress.step, **values)
    run.journal.say(
        "held-out recall of selective-search boxes: " + "  ".join(f"{key} {value:.3f}" for key, value in values.items())
    )
    return values


def _metrics(probe: dict[str, float]) -> tuple[Metric, ...]:
    return tuple(
        Metric(
            f"rpn_{name}",
            round(value, 4),
            "held-out photographs' selective-search boxes",
            "self-reported",
            "adept pretrain",
        )
        for name, value in probe.items()
    )


def _initialise(model: Adept, recipe: Recipe, init: Path | None) -> None:
    if init is None:
        if not recipe.method.contrasts:
            raise RecipeError(
                "Separate training fits an RPN to an already pre-trained backbone, FPN and head.\n"
                "Name them: --init NAME or --init FOLDER (adept list shows names)."
            )
        return
    config = read_config(init)
    if to_dict(config.spec) | {"anchors": 0} != to_dict(recipe.model) | {"anchors": 0}:
        raise RecipeError(f"{init / CONFIG} describes another architecture than the recipe's model section.")
    tensors = read_tensors(init, config)
    state = model.online.parts.state_dict()
    given = {k: v for k, v in tensors.items() if recipe.method.contrasts or not k.startswith("rpn.")}
    model.online.parts.load_state_dict(state | given)
    if recipe.method.contrasts:
        own = model.target.parts.state_dict()
        model.target.parts.load_state_dict({k: given.get(k, v) for k, v in own.items()})


def _check_sizes(recipe: Recipe, images: int, processes: int) -> None:
    batch = recipe.engine.batch_size
    if batch % processes:
        raise RecipeError(f"engine.batch_size {batch} is no multiple of the {processes} processes.")
    if images == 0:
        raise ImagesError("There are no photographs to train on.")
    if images < batch:
        raise RecipeError(
            f"{images} photographs do not fill one batch of {batch}.\n"
            f"Lower it: --set engine.batch_size={max(images // 2, 2)}"
        )


def _recipe_digest(recipe: Recipe) -> str:
    """Digest of what changes the weights; where and how fast the run goes may differ between sittings."""
    data = to_dict(recipe)
    del data["export"]
    del data["data"]["workers"]
    data["engine"] = {k: data["engine"][k] for k in ("batch_size", "seed", "precision", "channels_last")}
    return _digest([json.dumps(data, sort_keys=True)])


def _digest(lines: list[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


@contextmanager
def _stop_signals() -> Iterator[list[int]]:
    """A list that SIGTERM, SIGINT and SLURM's SIGUSR1 put themselves into; a second SIGINT is the usual one."""
    received: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        if received and number == signal.SIGINT:
            raise KeyboardInterrupt
        received.append(number)

    watched = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
    before = {number: signal.signal(number, note) for number in watched}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
