"""Pre-train on images and write a checkpoint folder; the loop is `_train`."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO, cast

import torch
from lightning_fabric import Fabric
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

from adept_hub.arguments.calls import checked
from adept_hub.io.schema import to_dict
from adept_hub.io.write import atomic_file
from adept_hub.words.pulse import doing
from adept_training.data.cache import PixelCache, cache_bytes, open_cache, side_of, write_cache
from adept_training.data.loader import BoxTable, ImageSamples, Order, Sealed, Steps, make_loader
from adept_training.images import ImageSource
from adept_training.method.model import StepOutput
from adept_training.method.momentum import update_target
from adept_training.pretraining.asked import Asked
from adept_training.pretraining.compiled import compile_networks
from adept_training.pretraining.ending import judge_run, told
from adept_training.pretraining.export import export_model, recall_metrics
from adept_training.pretraining.optim import make_optimizer, set_lr
from adept_training.pretraining.origin import describe_start, keys_digest, load_start, recipe_digest, record_origin
from adept_training.pretraining.pace import planned_steps, warmup_steps
from adept_training.pretraining.precision import resolve_precision
from adept_training.pretraining.preflight import check_run, check_sizes
from adept_training.pretraining.recipe import Recipe
from adept_training.pretraining.run import Run
from adept_training.pretraining.setup import fit_teacher, make_model, make_samples, set_pseudo_classes
from adept_training.pretraining.watch.outcome import PretrainResult, finished_before, has_finished
from adept_training.pretraining.watch.preview import draw_preview
from adept_training.pretraining.watch.probe import load_held_out, split_keys
from adept_training.proposals.table.match import matching_keys
from adept_training.proposals.table.store import ProposalTable
from adept_training.runtime.cpus import use_threads
from adept_training.runtime.first_process import owns
from adept_training.runtime.journal import Journal, Meter, duration
from adept_training.runtime.launch import Precision, make_fabric, synchronize_norms
from adept_training.runtime.state import TrainingProgress, load_state
from adept_training.runtime.stop import stop_signals
from adept_training.runtime.trackers import open_trackers
from adept_training.runtime.workers import plain_errors

_CACHE = "cache"


@checked
@owns("folder")
def pretrain(
    recipe: Recipe,
    source: ImageSource,
    table: BoxTable,
    folder: Path,
    *,
    init: Path | None = None,
    resume: bool = False,
    wait: bool = False,
    stream: TextIO | None = None,
    proposals: dict[str, Any] | None = None,
    asked: Asked = Asked(),  # noqa: B008  # frozen
    license: str = "unstated",  # its name everywhere
    relicense: bool = False,
) -> PretrainResult:
    """Pre-train, log to ``folder``/log.jsonl, save checkpoints in ``folder``/checkpoints, write ``folder``/export.

    Args:
        recipe: the whole configuration.
        source: the images; ``table`` their boxes.
        folder: folder of the run; must contain no run unless ``resume``.
        init: a checkpoint folder to start from (required by separate training), whose preprocessing the run keeps.
        wait: if another process is writing ``folder``, wait for it to end instead of refusing.
        stream: stream for progress lines, in place of a bar.
        proposals: description of the boxes to record.
        asked: the device, and outputs in addition to the log: a preview, trackers, the report.
        license: of the weights; by default the recipe's, or else that of ``init``.
        relicense: claim the right to grant a license that may be less restrictive.

    Raises:
        RecipeError: too few images for one batch, separate training without ``init``, or an ``init`` that lacks
            a part or is of another architecture. LicenseError: a license more permissive than that of ``init``.
        OutputExistsError: ``folder`` contains a run and ``resume`` is false.
        FolderInUseError: another process is writing ``folder``.
        ResumeError: nothing to resume, or another recipe or other images.
        TrainingDivergedError: a loss is not finite, or the features collapsed.
        ImagesError: eight images in a row cannot be read.
        ProposalsError: the table was made from other images.
    """
    all_keys = source.keys()
    origin = check_run(recipe, all_keys, folder, init=init, resume=resume, license=license, relicense=relicense)
    recipe = origin.licensed(recipe)
    use_threads(recipe.engine.threads)
    recipe, why = resolve_precision(recipe, folder, resume=resume)
    fabric = make_fabric(cast(Precision, recipe.engine.precision), asked.device)
    if isinstance(table, ProposalTable):
        all_keys = matching_keys(table, source, asked.images)
    keys, held_keys = split_keys(all_keys, recipe.data.held_out)
    check_sizes(recipe, len(keys), fabric.world_size, keep_model=init is not None)
    order = Order(len(keys), recipe.engine.batch_size, recipe.engine.seed, fabric.global_rank, fabric.world_size)
    steps = planned_steps(recipe, order.steps_per_epoch)
    identity = {"recipe": recipe_digest(recipe), "photographs": keys_digest(keys)}
    if resume and has_finished(folder, identity, steps, recipe.engine.max_minutes):
        return finished_before(folder, steps)

    torch.manual_seed(recipe.engine.seed)
    model = make_model(recipe, len(keys), origin.preprocessing)
    brought = None if init is None else load_start(model, init)
    if recipe.engine.channels_last:
        model = model.to(memory_format=torch.channels_last)
    optimizer = make_optimizer(model, recipe.optimizer, recipe.engine.batch_size)
    progress = TrainingProgress()
    if resume:
        progress = load_state(folder / "checkpoints", model, optimizer, identity)
    synchronize_norms(model, fabric)
    if recipe.engine.compile:
        compile_networks(model, fabric.device.type, fabric.world_size)
    # The optimizer comes last: converting norms keeps the identity of their parameters.
    wrapped, optimizer = fabric.setup(model, optimizer)
    if progress.scaler:
        fabric.strategy.precision.load_state_dict(progress.scaler)
    first = fabric.is_global_zero
    trackers = open_trackers(asked.trackers, folder, to_dict(recipe), progress.step) if first else []
    journal = Journal(folder / "log.jsonl" if first else None, stream if first else None, trackers)
    if first:
        with atomic_file(folder / "recipe.yaml") as temporary:
            temporary.write_text(recipe.to_yaml(), encoding="utf-8")
        record_origin(origin, folder)
    held_out = load_held_out(source, table, held_keys, recipe.views.sizes[0], recipe.best_boxes)
    run = Run(
        recipe, fabric, model, wrapped, optimizer, order, held_out, folder, journal, progress, identity, steps,
        time.perf_counter(), origin, asked=asked,
    )  # fmt: skip
    cache = _cached(recipe, source, keys, folder, fabric, journal) if recipe.data.cache else None
    samples = make_samples(recipe, source, table, keys, cache)
    journal.record(
        "start", step=progress.step, steps=steps, images=len(keys), held_out=len(held_out.boxes_M4),
        held_out_boxes=sum(map(len, held_out.boxes_M4)), resumed=resume, processes=fabric.world_size,
        asked=asdict(asked), precision=recipe.engine.precision, precision_reason=why,
    )  # fmt: skip
    journal.say(
        f"{len(keys)} images, {len(held_out.boxes_M4)} held out; {steps} steps of {order.batch_size} images"
        + (f", continued at step {progress.step}" if resume else "")
    )
    if brought is not None and not resume:
        loaded = {row.part: row.loaded for row in brought.parts}
        journal.record("loaded", step=0, start=brought.name, tensors=loaded)
        journal.say(describe_start(brought))
    if not resume:
        set_pseudo_classes(model, samples, recipe, fabric, journal)
        fit_teacher(model, samples, recipe, fabric, journal, order)
    for text in progress.passed_over:
        journal.record("passed_over", step=progress.step, text=text)
        journal.say(text)
    if why:
        journal.say(why)
    if first and asked.preview:
        caution = draw_preview(samples, order.places(progress.step)[:4], recipe, folder / "preview.png")
        journal.say(f"preview of the views: {folder / 'preview.png'}")
        if caution:
            journal.say(f"caution: {caution}", "caution")
    with told(run, asked):
        result = _run(run, samples, proposals or {}, len(keys))
        if cache is not None and first and not result.interrupted:
            shutil.rmtree(cache.folder)
        return result


def _cached(
    recipe: Recipe, source: ImageSource, keys: list[str], folder: Path, fabric: Fabric, journal: Journal
) -> PixelCache:
    """Open the cache of the run's images; the first process writes it if it is missing."""
    side = side_of(recipe.views.sizes)
    cache = open_cache(folder / _CACHE, keys, side) if fabric.is_global_zero else None
    if fabric.is_global_zero and cache is None:
        journal.say(
            f"decoding {len(keys)} images once: {cache_bytes(len(keys), side) / 1e6:.0f} MB, in {folder / _CACHE}"
        )
        cache = write_cache(folder / _CACHE, source, keys, side, recipe.data.workers)
    fabric.barrier()
    cache = cache or open_cache(folder / _CACHE, keys, side)
    assert cache is not None  # the first process has just written it
    return cache


def _run(run: Run, samples: ImageSamples[Any], proposals: dict[str, Any], images: int) -> PretrainResult:
    first = run.probe()
    shown = doing(lambda: f"step {run.progress.step}/{run.steps}")
    bar = run.journal.showing(run.steps, "pre-training", run.progress.step)
    with stop_signals() as stopped, _batches(run, samples) as batches, bar, shown:
        _train(run, batches, stopped)
    if run.saved is None or run.saved.stem != f"step-{run.progress.step:08d}":
        run.save()
    interrupted = bool(stopped)
    last = run.probe()
    epochs = run.progress.step / run.order.steps_per_epoch
    verdict, advice, seconds = None, list[str](), round(run.seconds(), 1)
    if not interrupted and run.fabric.is_global_zero:
        verdict, advice = judge_run(run, seconds)
        sound = verdict is None or verdict.word in ("better", "not judged")
        doubts = () if verdict is None or sound else (f"Their own probes: {verdict.sentence}.",)
        export_model(
            run.model, run.recipe, run.folder / "export",
            images=images, epochs=epochs, proposals=proposals, metrics=recall_metrics(last, proposals), notes=doubts,
            origin=run.origin, random_share=run.random_share,
        )  # fmt: skip
    run.journal.record("end", step=run.progress.step, seconds=seconds, interrupted=interrupted, **last)
    run.journal.say(
        f"{'interrupted' if interrupted else 'done'} after {run.progress.step} of {run.steps} steps "
        f"({epochs:.2f} epochs), {duration(seconds)}"
    )
    if verdict is not None:
        run.journal.say(f"verdict: {verdict.sentence}", verdict.tone)
    return PretrainResult(
        run.folder, run.progress.step, run.steps, interrupted, first, last, verdict, tuple(advice),
        random_share=run.random_share,
    )  # fmt: skip


@contextmanager
def _batches(run: Run, samples: ImageSamples[Any]) -> Iterator[Iterator[Any]]:
    """Yield the batches of the remaining steps. The workers are stopped at the end in any case."""
    steps = Steps(run.order, run.progress.step, run.steps)
    loader = make_loader(samples, steps, run.recipe.data.workers, pin=run.fabric.device.type == "cuda")
    batches = iter(loader)
    try:
        yield batches
    finally:
        # An error's traceback would keep the iterator, and with it the workers, until the interpreter waits for them.
        if isinstance(batches, _MultiProcessingDataLoaderIter):
            batches._shutdown_workers()


def _train(run: Run, batches: Iterator[Any], stopped: list[int]) -> None:
    """Run the remaining steps."""
    recipe, schedule, engine = run.recipe, run.recipe.schedule, run.recipe.engine
    warmup = warmup_steps(recipe, run.order.steps_per_epoch)
    meter, last_save = Meter(), time.perf_counter()
    run.model.train()
    _, place, reachable = run.agree(stopped)
    begin = run.progress.step
    for step in range(begin, run.steps):
        requested_at = time.perf_counter()
        with plain_errors():
            batch = run.fabric.to_device(next(batches))
        waited = time.perf_counter() - requested_at

        lr = set_lr(run.optimizer, place, warmup, run.steps, schedule.warmup_start, schedule.final_lr)
        run.model.warm = place >= warmup
        momentum = recipe.method.momentum_of(place, run.steps, reachable)
        if recipe.method.has_target:
            update_target(run.model.target, run.model.online, momentum)
            run.progress.kept *= momentum
        out: StepOutput = run.wrapped(Sealed(batch))
        run.optimizer.zero_grad(set_to_none=True)
        run.fabric.backward(out.loss)
        if recipe.optimizer.clip:
            run.fabric.clip_gradients(run.wrapped, run.optimizer, max_norm=recipe.optimizer.clip)
        run.optimizer.step()

        run.progress.step = step + 1
        run.time_pace(step + 1 - begin)
        scalars = {"loss": out.loss.detach(), **out.terms, **out.stats, "replaced": batch.replaced_N.sum()}
        meter.add(run.mean(scalars), run.order.batch_size, waited)
        stop, place, reachable = run.agree(stopped)
        last = step + 1 == run.steps or stop
        if (step + 1) % engine.log_every == 0 or last:
            run.log(meter.take(), lr, momentum)
        run.journal.bar.move(place, f"step {step + 1}/{run.steps}")  # a time limit counts too
        if last:
            break
        if time.perf_counter() - last_save > 60 * engine.checkpoint_minutes:
            with meter.paused():
                run.save()
            last_save = time.perf_counter()
        if engine.probe_every and (step + 1) % engine.probe_every == 0:
            with meter.paused():
                run.probe()
