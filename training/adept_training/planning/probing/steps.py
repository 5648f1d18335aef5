"""Time a few real steps of a recipe on a sample of the images, on the device that a run would use."""

from __future__ import annotations

import gc
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from adept_hub.spec import Preprocessing
from adept_hub.words.pulse import doing
from adept_training.data.cache import side_of
from adept_training.data.loader import Order
from adept_training.planning.probing.machine import Machine
from adept_training.planning.probing.sample import Sample, SampleBoxes, cache_of
from adept_training.pretraining.optim import make_optimizer
from adept_training.pretraining.pace import TIMED_STEPS
from adept_training.pretraining.precision import resolve_precision
from adept_training.pretraining.pretrain import _batches, _train
from adept_training.pretraining.recipe import Recipe
from adept_training.pretraining.run import Run
from adept_training.pretraining.setup import make_model, make_samples
from adept_training.pretraining.watch.probe import HeldOut
from adept_training.runtime.cpus import use_threads
from adept_training.runtime.journal import Journal
from adept_training.runtime.launch import Precision, make_fabric
from adept_training.runtime.state import TrainingProgress

#: Share of the memory of a machine without a GPU that a step may keep.
_MEMORY = 0.7


def with_precision(recipe: Recipe, chosen: str | None) -> tuple[Recipe, str]:
    """Return the recipe with its precision resolved, and which: once timed, it is kept for other recipes."""
    if recipe.engine.precision == "auto":
        if chosen is None:
            recipe = resolve_precision(recipe, Path(), resume=False)[0]
        else:
            recipe = replace(recipe, engine=replace(recipe.engine, precision=cast(Any, chosen)))
    return recipe, recipe.engine.precision


def time_steps(recipe: Recipe, sample: Sample, table: SampleBoxes, machine: Machine, batch: int) -> float | None:
    """Run the training loop of a recipe for three steps, of which two are timed; return the seconds of a step.

    Nothing that it writes stays. None: a step needs more memory than there is.

    Args:
        recipe: its precision must be resolved; networks are not compiled.
        sample: images, repeated as often as a batch needs.
        table: their boxes.
        machine: where it runs.
        batch: images of a timed step; the result is scaled to the recipe's own number.
    """
    full = recipe.engine.batch_size
    engine = replace(recipe.engine, batch_size=batch, compile=False, max_minutes=None, log_every=1_000_000)
    recipe = replace(recipe, engine=engine)
    keys = sample.source.keys()
    many = tuple(keys[place % len(keys)] for place in range(max(batch, len(keys))))
    cache = cache_of(sample, side_of(recipe.views.sizes), len(many)) if recipe.data.cache else None
    samples = make_samples(recipe, sample.source, table, list(many), cache)
    watch, held = _Watch(), _Held()
    with _undone(), tempfile.TemporaryDirectory(prefix="adept-plan-") as folder:
        use_threads(engine.threads)
        try:
            run = _run_of(recipe, machine, Order(len(many), batch, engine.seed), Path(folder), watch)
            what = f"timing steps of {batch} images at {max(recipe.views.sizes)} px"
            shown = doing(lambda: f"{what}: {run.progress.step}/{TIMED_STEPS}")
            with shown, held.counting(), _batches(run, samples) as batches:
                _train(run, batches, watch.stopped)
        except torch.cuda.OutOfMemoryError:
            return None
    if machine.device == "cpu" and held.bytes * full / batch > _MEMORY * machine.memory:
        return None
    return watch.seconds_per_step * full / batch


def _run_of(recipe: Recipe, machine: Machine, order: Order, folder: Path, journal: Journal) -> Run:
    fabric = make_fabric(cast(Precision, recipe.engine.precision), machine.device)
    torch.manual_seed(recipe.engine.seed)
    model = make_model(recipe, order.images, Preprocessing())
    if recipe.engine.channels_last:
        model = model.to(memory_format=torch.channels_last)
    wrapped, optimizer = fabric.setup(model, make_optimizer(model, recipe.optimizer, recipe.engine.batch_size))
    nothing = HeldOut(torch.zeros((0, 1, 1, 3), dtype=torch.uint8), ())
    steps = round(recipe.schedule.epochs * order.steps_per_epoch) + 1000
    return Run(
        recipe, fabric, model, wrapped, optimizer, order, nothing, folder, journal, TrainingProgress(), {}, steps,
        time.perf_counter(),
    )  # fmt: skip


class _Watch(Journal):
    """Ends a run when its pace is known."""

    def __init__(self) -> None:
        super().__init__(None, None)
        self.stopped: list[int] = []
        self.seconds_per_step = 0.0

    def record(self, kind: str, **values: Any) -> None:
        if kind == "pace":
            self.seconds_per_step = float(values["seconds_per_step"])
            self.stopped.append(0)


class _Held:
    """Counts the bytes that the forward pass of the first step keeps for its backward pass."""

    def __init__(self) -> None:
        self._seen: dict[int, int] = {}
        self._done = False

    @property
    def bytes(self) -> int:
        return sum(self._seen.values())

    @contextmanager
    def counting(self) -> Iterator[None]:
        with torch.autograd.graph.saved_tensors_hooks(self._pack, self._unpack):
            yield

    def _pack(self, tensor: Tensor) -> Tensor:
        if not self._done and not (tensor.is_leaf and tensor.requires_grad):  # weights do not grow with the batch
            storage = tensor.untyped_storage()
            self._seen[storage.data_ptr()] = storage.nbytes()
        return tensor

    def _unpack(self, tensor: Tensor) -> Tensor:
        self._done = True
        return tensor


@contextmanager
def _undone() -> Iterator[None]:
    """Restore torch's number of threads and random state, and release the device's memory."""
    threads = torch.get_num_threads()
    try:
        with torch.random.fork_rng():
            yield
    finally:
        torch.set_num_threads(threads)
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
