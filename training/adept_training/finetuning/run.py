"""Fine-tune a source on labels and save the best detector by validation AP."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TextIO

from adept_hub.arguments.calls import checked
from adept_hub.words.pulse import doing
from adept_training.finetuning.detector import SCRATCH, Trained, build_detector
from adept_training.finetuning.digests import labels_digest, recipe_digest
from adept_training.finetuning.history import read_history
from adept_training.finetuning.loop import make_fabric, prepare, train
from adept_training.finetuning.origin import check_detector_of, check_resumed, open_finetune_start
from adept_training.finetuning.recipe import FinetuneRecipe
from adept_training.finetuning.samples import LabeledSamples
from adept_training.finetuning.session import FinetuneResult, Session
from adept_training.labels.records import Data, Split
from adept_training.pretraining.preflight import check_folder
from adept_training.runtime.cpus import computes_bfloat16
from adept_training.runtime.first_process import owns
from adept_training.runtime.journal import Journal
from adept_training.runtime.launch import any_of
from adept_training.runtime.state import load_state
from adept_training.runtime.stop import StopRequested, stop_signals
from adept_training.selftraining.teaching import check_self_training
from adept_training.selftraining.unlabeled import Unlabeled


@checked
@owns("folder")
def finetune(
    source: str,
    data: Data,
    recipe: FinetuneRecipe,
    folder: Path,
    *,
    subset: Split | None = None,
    unlabeled: Unlabeled | None = None,
    like: str | None = None,
    resume: bool = False,
    wait: bool = False,
    stream: TextIO | None = None,
    stop_at: int | None = None,
    accelerator: str = "auto",
    license: str = "unstated",  # its name everywhere
    relicense: bool = False,
) -> FinetuneResult:
    """Fine-tune a detector; write the best by validation AP to ``folder``/best and the last to ``folder``/last.

    Args:
        source: weights to start from, or ``scratch``.
        data: trains on ``train``; selects the best on ``val``, reports metrics of ``test`` (else ``val``).
        subset: part of ``data.train`` to train on.
        unlabeled: images for self-training, whose teacher is then the detector that is kept.
        like: source whose architecture and anchors the parts take that ``source`` lacks; ``scratch`` takes its
            preprocessing too.
        wait: if another process is writing ``folder``, wait for it to end instead of refusing.
        stream: stream for progress lines, in place of a bar.
        stop_at: end this session after this iteration, as a signal would.
        accelerator: Fabric's choice of device.
        license: license of the detector; by default that of the source.
        relicense: claim the right to grant a ``license`` that may be less restrictive.

    Raises:
        OutputExistsError: ``folder`` contains a run and ``resume`` is false.
        FolderInUseError: another process is writing ``folder``.
        ResumeError: nothing to resume, or another recipe or other labels.
        LicenseError: ``license`` is more permissive than the source's.
        DataError: there is nothing to train on. TrainingDivergedError: a loss is not finite.
        Others as in `adept_hub.load_pretrained`.
    """
    check_folder(folder, resume)
    trained = Trained(license=license, relicense=relicense)
    origin = open_finetune_start(source, like, recipe, trained)
    if resume:
        check_resumed(origin, folder, unlabeled)
    fabric = make_fabric(recipe, accelerator)
    split = data.train if subset is None else subset
    masks = recipe.detector.detector == "mask_rcnn"
    samples = LabeledSamples.of(split, masks, recipe.engine.flip, recipe.engine.seed, recipe.engine.augment)
    recipe = recipe.resolved(len(samples), fabric.device.type != "cpu")
    recipe = replace(recipe, detector=recipe.detector.with_anchors(origin.own_spec))
    check_detector_of(data.classes, recipe.detector, recipe.schedule.iterations)
    check_self_training(recipe, len(data.classes), unlabeled)
    classes, seed = len(data.classes), recipe.engine.seed
    model = build_detector(source, classes, recipe.detector, seed, origin.spec, origin.pixels)
    fit = prepare(model, samples, recipe, fabric, unlabeled)
    identity = {"recipe": recipe_digest(recipe), "labels": labels_digest(samples), "source": source}
    identity |= {} if unlabeled is None else {"unlabeled images": unlabeled.sha256}
    first = fabric.is_global_zero
    journal = Journal(folder / "log.jsonl" if first else None, stream if first else None)
    trained = replace(trained, images=len(samples))
    run = Session(fit, data, split, folder, journal, identity, source, origin, trained, unlabeled)
    if resume:
        progress = load_state(folder / "checkpoints", fit.stored, fit.optimizer, identity)
        fit.step, run.seconds = progress.step, progress.seconds
        if fit.step >= recipe.schedule.iterations:
            done = f"all {fit.step} iterations were done before"
            journal.say(f"{done}: no training, the detector is evaluated again")
        run.history, lost = read_history(folder, fit.step)
        for text in (*progress.passed_over, *lost):
            journal.record("passed_over", step=fit.step, text=text)
            journal.say(text)
    if first:
        run.describe()
    journal.say(
        f"{len(samples)} images of {len(data.classes)} classes; {recipe.schedule.iterations} iterations of "
        f"{recipe.engine.batch_size} images at a peak rate of {recipe.peak_lr:.4g}; "
        f"anchors of {', '.join(f'{size:g}' for size in recipe.detector.anchors)} px"
        + (f", continued at {fit.step}" if resume else "")
    )
    if not resume and fabric.device.type == "cpu" and recipe.engine.precision == "fp32" and computes_bfloat16():
        journal.say("this CPU computes faster in bfloat16, by about a third: --bf16 (boxes stay in float32)")
    if resume is False and source != SCRATCH:
        journal.say(str(model.load_report))
    if fit.teaching is not None:
        journal.say(str(fit.teaching))
    if fit.measured:
        journal.say(f"{fit.measured} batch norms have no statistics yet: frozen with those of training images")
    try:
        return _run(run, stop_at)
    finally:
        journal.close()


def _run(run: Session, stop_at: int | None) -> FinetuneResult:
    fit, total, due = run.fit, run.fit.recipe.schedule.iterations, run.due
    ended = False

    def after_step(step: int, values: dict[str, float] | None) -> bool:
        nonlocal ended
        late = time.perf_counter() - run.saved_at > 60 * fit.recipe.engine.checkpoint_minutes
        ended, late = any_of(fit.fabric, bool(run.stopped) or step == stop_at, late)
        if values is not None:
            run.log(values)
        run.journal.bar.move(step, f"iteration {step}/{total}")
        if step in due and not ended:
            try:
                run.validate()
            except StopRequested:
                ended = True
        if ended or late:
            run.save()
        return ended

    with stop_signals() as run.stopped:
        try:
            if run.missed:
                run.validate()
            bar = run.journal.showing(total, "fine-tuning", fit.step)
            with bar, doing(lambda: f"iteration {fit.step}/{total}"):
                train(fit, after_step)
            if not ended:
                run.save()
                return run.finish()
        except StopRequested:
            pass  # at a step whose state was saved before
    run.journal.record("end", step=fit.step, seconds=round(run.elapsed(), 1), interrupted=True)
    run.journal.say(f"interrupted after {fit.step} iterations; its state is saved")
    return FinetuneResult(run.folder, fit.step, total, True)
