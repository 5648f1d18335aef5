"""Fine-tune a source on labels and save the best detector by validation AP."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TextIO

from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from adept_hub.arguments.calls import checked
from adept_hub.detectors.folder import DetectorConfig, read_detector
from adept_hub.io.disk_errors import disk_errors
from adept_hub.io.schema import to_dict
from adept_hub.io.write import atomic_file
from adept_hub.words.pulse import doing
from adept_training.finetuning.detector import SCRATCH, Trained, build_detector, save_detector, with_metrics
from adept_training.finetuning.digests import labels_digest, recipe_digest
from adept_training.finetuning.history import History, read_history, write_history
from adept_training.finetuning.loop import Fit, make_fabric, prepare, train
from adept_training.finetuning.origin import RUN, FinetuneStart, check_detector_of, check_resumed, open_finetune_start
from adept_training.finetuning.recipe import FinetuneRecipe
from adept_training.finetuning.samples import LabeledSamples
from adept_training.labels.records import Data, Split
from adept_training.metrics.evaluate import Evaluation, evaluate
from adept_training.metrics.nothing_learned import learned_nothing
from adept_training.pretraining.preflight import check_folder
from adept_training.runtime.first_process import owns
from adept_training.runtime.journal import Journal, duration
from adept_training.runtime.state import TrainingProgress, load_state, save_state
from adept_training.runtime.stop import stop_signals
from adept_training.selftraining.teaching import check_self_training, pseudo_words
from adept_training.selftraining.unlabeled import Unlabeled

CHOSEN_BY = "AP"


@dataclass(frozen=True)
class FinetuneResult:
    """Result of a run. ``chosen`` is ``best`` (by validation AP) or ``last``; ``report`` is on ``report_split``."""

    folder: Path
    iterations: int
    planned_iterations: int
    interrupted: bool
    chosen: str = "last"
    best_iteration: int = 0
    best_ap: float | None = None
    report_split: str = ""
    report: Evaluation | None = None
    #: Warning of a run that learned nothing; empty otherwise.
    caution: str = ""


@dataclass
class _Run:
    fit: Fit
    data: Data
    train_split: Split
    folder: Path
    journal: Journal
    identity: dict[str, str]
    source: str
    origin: FinetuneStart
    trained: Trained
    unlabeled: Unlabeled | None = None
    seconds: float = 0.0
    session_start: float = field(default_factory=time.perf_counter)
    #: Finished iterations and AP of every evaluation, kept in evaluations.json.
    history: History = field(default_factory=list)
    saved_at: float = field(default_factory=time.perf_counter)

    def elapsed(self) -> float:
        return self.seconds + time.perf_counter() - self.session_start


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
    run = _Run(fit, data, split, folder, journal, identity, source, origin, trained, unlabeled)
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
        _describe(run)
    journal.say(
        f"{len(samples)} images of {len(data.classes)} classes; {recipe.schedule.iterations} iterations of "
        f"{recipe.engine.batch_size} images at a peak rate of {recipe.peak_lr:.4g}; "
        f"anchors of {', '.join(f'{size:g}' for size in recipe.detector.anchors)} px"
        + (f", continued at {fit.step}" if resume else "")
    )
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


def _run(run: _Run, stop_at: int | None) -> FinetuneResult:
    fit, total = run.fit, run.fit.recipe.schedule.iterations
    count = fit.recipe.engine.evaluations if run.data.val is not None else 0
    due = {round(total * (i + 1) / count) for i in range(count)}
    with stop_signals() as stopped:

        def after_step(step: int, values: dict[str, float] | None) -> bool:
            ended = bool(stopped) or step == stop_at
            if values is not None:
                _log(run, values)
            if step in due:
                _validate(run)
            if ended or time.perf_counter() - run.saved_at > 60 * fit.recipe.engine.checkpoint_minutes:
                _save(run)
            return ended

        with doing(lambda: f"iteration {fit.step}/{total}"):
            train(fit, after_step)
    if fit.step < total:
        run.journal.record("end", step=fit.step, seconds=round(run.elapsed(), 1), interrupted=True)
        run.journal.say(f"interrupted after {fit.step} iterations; its state is saved")
        return FinetuneResult(run.folder, fit.step, total, True)
    _save(run)
    return _finish(run)


def _finish(run: _Run) -> FinetuneResult:
    """Save the last detector, and evaluate the selected one and save its report."""
    fit, split = run.fit, run.data.report_split
    with fit.precise():  # every process takes part in the statistics
        if fit.fabric.is_global_zero:
            config = DetectorConfig(run.source, run.data.classes, fit.recipe.detector, fit.step, {})
            _keep(run, "last", fit.learned, config)
    measured = [(ap, at) for at, ap in run.history if ap is not None]
    best_ap, best_at = max(measured, key=lambda row: (row[0], row[1])) if measured else (None, fit.step)
    selected = "best" if measured else "last"
    if not fit.fabric.is_global_zero:
        return FinetuneResult(run.folder, fit.step, fit.step, False, selected, best_at, best_ap, split.name)
    model, config = read_detector(run.folder / selected)
    report = evaluate(model.to(fit.fabric.device), split)
    for name in {selected, "last"} if best_at == fit.step else {selected}:
        loaded, saved_config = read_detector(run.folder / name)
        _keep(run, name, loaded, with_metrics(saved_config, report.flat()))
    caution = learned_nothing(run.history, report.flat()[CHOSEN_BY], fit.step)
    content = {
        "source": run.source, "data": run.data.spec, "trained_on": len(run.train_split), "split": split.name,
        "chosen": selected, "iteration": best_at, "validation": run.history, "seconds": round(run.elapsed(), 1),
        **report.as_json(), **({"caution": caution} if caution else {}),
    }  # fmt: skip
    with atomic_file(run.folder / "metrics.json") as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    run.journal.record("end", step=fit.step, seconds=round(run.elapsed(), 1), interrupted=False, **report.flat())
    shown = {k: v for k, v in report.flat().items() if k in ("AP", "AP50", "VOC07_AP50") and v is not None}
    figures = "  ".join(f"{k} {v:.2f}" for k, v in shown.items())
    run.journal.say(f"done in {duration(run.elapsed())}; the {selected} detector on {split.name}: {figures}")
    if caution:
        run.journal.say(caution, "caution")
    return FinetuneResult(
        run.folder, fit.step, fit.step, False, selected, best_at, best_ap, split.name, report, caution
    )


def _keep(run: _Run, name: str, model: GeneralizedRCNN, config: DetectorConfig) -> None:
    epochs = config.iterations * run.fit.recipe.engine.batch_size / run.trained.images
    trained = replace(run.trained, epochs=round(epochs, 3))
    save_detector(run.folder / name, model, config, run.origin.spec, run.origin.config, trained)


def _validate(run: _Run) -> None:
    """Compute AP on the validation split; save a new best detector."""
    assert run.data.val is not None
    fit = run.fit
    with fit.precise():  # every process takes part in the statistics
        if fit.fabric.is_global_zero:
            _validate_here(run, run.data.val)
    fit.fabric.barrier()


def _validate_here(run: _Run, split: Split) -> None:
    fit = run.fit
    figures = evaluate(fit.learned, split).flat()
    ap = figures[CHOSEN_BY]
    best = max((a for _, a in run.history if a is not None), default=None)
    run.history.append((fit.step, ap))
    if best is None or (ap is not None and ap >= best):
        config = DetectorConfig(run.source, run.data.classes, fit.recipe.detector, fit.step, figures)
        _keep(run, "best", fit.learned, config)
    write_history(run.folder, run.history)
    run.journal.record("validation", step=fit.step, **figures)
    run.journal.say(f"iteration {fit.step}: validation AP {ap or 0:.2f}, AP50 {figures['AP50'] or 0:.2f}")


def _save(run: _Run) -> None:
    fit, folder = run.fit, run.folder / "checkpoints"
    if fit.fabric.is_global_zero:
        progress = TrainingProgress(fit.step, run.elapsed())
        save_state(folder, fit.stored, fit.optimizer, progress, run.identity, fit.recipe.engine.keep)
    fit.fabric.barrier()
    run.saved_at = time.perf_counter()


def _log(run: _Run, values: dict[str, float]) -> None:
    step, total = run.fit.step, run.fit.recipe.schedule.iterations
    run.journal.record("train", step=step, **{k: float(f"{v:.6g}") for k, v in values.items()})
    left = (total - step) * run.fit.recipe.engine.batch_size / max(values["images_per_s"], 1e-9)
    terms = "  ".join(f"{k.removeprefix('loss_')} {v:.3f}" for k, v in values.items() if k.startswith("loss_"))
    run.journal.say(
        f"iteration {step}/{total}  loss {values['loss']:.3f}  {terms}{pseudo_words(values)}  lr {values['lr']:.3g}  "
        f"{values['images_per_s']:.1f} img/s  ETA {duration(left)}"
    )


def _describe(run: _Run) -> None:
    split, report = run.train_split, str(getattr(run.fit.model, "load_report", "from scratch"))
    ids = {part.source: [i.key.id for i in split.images if i.key.part == part.number] for part in split.parts}
    content = {
        "source": run.source, "data": run.data.spec, "classes": list(run.data.classes), "image_ids": ids,
        "load_report": report, "starts": to_dict(run.origin.starts),
        **({} if run.unlabeled is None else {"unlabeled": run.unlabeled.as_json()}),
    }  # fmt: skip
    with disk_errors(run.folder), atomic_file(run.folder / "recipe.yaml") as temporary:
        temporary.write_text(run.fit.recipe.to_yaml(), encoding="utf-8")
    with atomic_file(run.folder / RUN) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
