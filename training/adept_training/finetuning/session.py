"""A fine-tuning in progress: its evaluations, what it keeps, and its log."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from adept_hub.detectors.folder import DetectorConfig, read_detector
from adept_hub.io.disk_errors import disk_errors
from adept_hub.io.schema import to_dict
from adept_hub.io.write import atomic_file
from adept_training.finetuning.detector import Trained, save_detector, with_metrics
from adept_training.finetuning.history import History, write_history
from adept_training.finetuning.loop import Fit
from adept_training.finetuning.origin import RUN, FinetuneStart
from adept_training.labels.records import Data, Split
from adept_training.metrics.evaluate import Evaluation, evaluate
from adept_training.metrics.nothing_learned import learned_nothing
from adept_training.pages.inline import files, inline, number, paragraphs, table
from adept_training.runtime.journal import Journal, duration
from adept_training.runtime.launch import any_of
from adept_training.runtime.remaining import Phase, PhaseTimes
from adept_training.runtime.state import TrainingProgress, save_state
from adept_training.runtime.stop import StopRequested, stop_between
from adept_training.selftraining.teaching import pseudo_words
from adept_training.selftraining.unlabeled import Unlabeled

CHOSEN_BY = "AP"
STATISTICS, EVALUATION = "norm statistics", "evaluation"
#: Metrics of a result in a notebook.
_SHOWN = ("AP", "AP50", "AP75", "mask_AP", "VOC07_AP50")


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

    def _repr_html_(self) -> str:
        """Show the metrics, and where the detector is, in a notebook."""
        measured = {} if self.report is None else self.report.flat()
        state = " (interrupted; resume=True continues)" if self.interrupted else ""
        best = f"Best validation AP: {number(self.best_ap)}, after {self.best_iteration} iterations."
        return inline(
            f"{self.folder}: {self.iterations} of {self.planned_iterations} iterations{state}",
            paragraphs([self.caution] if self.caution else [], "caution"),
            table([self.report_split, ""], [[name, number(measured[name])] for name in _SHOWN if name in measured]),
            paragraphs([] if self.best_ap is None else [best]),
            files({"Detector": self.folder / self.chosen}),
        )


@dataclass
class Session:
    """A run from its start, or from where it is resumed, to its end."""

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
    times: PhaseTimes = field(default_factory=PhaseTimes)
    #: Evaluation of the best detector, if this session made it.
    best_evaluation: Evaluation | None = None
    #: The last detector was saved with the last validation, which takes the same statistics.
    kept_last: bool = False
    #: Signals to stop that this process received.
    stopped: list[int] = field(default_factory=list)

    def elapsed(self) -> float:
        """Return the seconds of the run so far, earlier sessions included."""
        return self.seconds + time.perf_counter() - self.session_start

    @property
    def due(self) -> set[int]:
        """Iterations after which the detector is evaluated on the validation split."""
        count = self.fit.recipe.engine.evaluations if self.data.val is not None else 0
        return {round(self.fit.recipe.schedule.iterations * (i + 1) / count) for i in range(count)} - {0}

    @property
    def best(self) -> tuple[float, int] | None:
        """AP and iteration of the best evaluation, of equals the latest; None without a measured one."""
        return max(((ap, at) for at, ap in self.history if ap is not None), default=None)

    @property
    def ahead(self) -> list[Phase]:
        """What is to be done besides the iterations, before and after the last of them."""
        evaluated = {at for at, _ in self.history}
        left = [at for at in self.due if at >= self.fit.step and at not in evaluated]
        statistics, split = Phase(STATISTICS, self.fit.precise_batches), self.data.report_split
        phases = [statistics] * (len(left) + (not self.due))
        phases += [Phase(EVALUATION, len(self.data.val or ()))] * len(left)
        reused = split is self.data.val and self.due and (self.best_evaluation is not None or self.best is None)
        return phases if reused else [*phases, Phase(EVALUATION, len(split))]

    def log(self, values: dict[str, float]) -> None:
        """Write a record and a line of progress, with the time until the end of the command."""
        step, total = self.fit.step, self.fit.recipe.schedule.iterations
        self.journal.record("train", step=step, **{k: float(f"{v:.6g}") for k, v in values.items()})
        eta = self.times.eta((total - step) * self.fit.seconds_per_step, self.ahead)
        terms = "  ".join(f"{k.removeprefix('loss_')} {v:.3f}" for k, v in values.items() if k.startswith("loss_"))
        self.journal.say(
            f"iteration {step}/{total}  loss {values['loss']:.3f}  {terms}{pseudo_words(values)}  "
            f"lr {values['lr']:.3g}  {values['images_per_s']:.1f} img/s  ETA {eta}"
        )
        best = f", best AP {self.best[0]:.2f}" if self.best is not None else ""
        self.journal.bar.note(f"ETA {eta}, loss {values['loss']:.3f}, {values['images_per_s']:.1f} img/s{best}")

    def save(self) -> None:
        """Write a checkpoint."""
        fit, folder = self.fit, self.folder / "checkpoints"
        if fit.fabric.is_global_zero:
            progress = TrainingProgress(fit.step, self.elapsed())
            save_state(folder, fit.stored, fit.optimizer, progress, self.identity, fit.recipe.engine.keep)
        fit.fabric.barrier()
        self.saved_at = time.perf_counter()

    @property
    def missed(self) -> bool:
        """Whether an earlier session ended before it evaluated the detector after its last iteration."""
        return self.fit.step in self.due and all(at != self.fit.step for at, _ in self.history)

    def validate(self) -> None:
        """Compute AP on the validation split; save a new best detector, and after the last iteration the last.

        Raises:
            StopRequested: a signal came first, on every process; the session that resumes the run evaluates.
        """
        assert self.data.val is not None
        fit, split = self.fit, self.data.val
        self._announce(f"evaluation on {split.name}, {len(split)} images")
        interrupted = False
        with self._precise():  # every process takes part in the statistics
            if fit.fabric.is_global_zero:
                try:
                    self._validate_here(split)
                except StopRequested:
                    interrupted = True
        if any_of(fit.fabric, interrupted)[0]:  # the other processes wait here
            raise StopRequested
        self.kept_last = fit.step == fit.recipe.schedule.iterations

    def _validate_here(self, split: Split) -> None:
        fit = self.fit
        with stop_between(lambda: bool(self.stopped)), self.times.measure(Phase(EVALUATION, len(split))):
            evaluation = evaluate(fit.learned, split)
        figures = evaluation.flat()
        ap, best = figures[CHOSEN_BY], self.best
        if best is None or (ap is not None and ap >= best[0]):
            self._keep("best", fit.learned, self._config(figures))
            self.best_evaluation = evaluation
        self.history.append((fit.step, ap))
        write_history(self.folder, self.history)
        self.journal.record("validation", step=fit.step, **figures)
        self.journal.say(f"iteration {fit.step}: validation AP {ap or 0:.2f}, AP50 {figures['AP50'] or 0:.2f}")
        if fit.step == fit.recipe.schedule.iterations:
            self._keep("last", fit.learned, self._config({}))

    def finish(self) -> FinetuneResult:
        """Save the last detector, and evaluate the selected one and save its report.

        Raises:
            StopRequested: a signal came first; the session that resumes the run does this.
        """
        fit, split = self.fit, self.data.report_split
        if not self.kept_last:
            self._announce("")
            with self._precise():  # every process takes part in the statistics
                if fit.fabric.is_global_zero:
                    self._keep("last", fit.learned, self._config({}))
        best_ap, best_at = self.best or (None, fit.step)
        selected = "last" if best_ap is None else "best"
        if not fit.fabric.is_global_zero:
            return FinetuneResult(self.folder, fit.step, fit.step, False, selected, best_at, best_ap, split.name)
        history = self.history
        if split is self.data.val and selected == "best" and self.best_evaluation is not None:
            report, history = self.best_evaluation, [row for row in history if row[0] != best_at]
        else:
            self.journal.say(f"evaluating the {selected} detector on {split.name}, {len(split)} images")
            with stop_between(lambda: bool(self.stopped)):
                report = evaluate(read_detector(self.folder / selected)[0].to(fit.fabric.device), split)
        for name in {selected, "last"} if best_at == fit.step else {selected}:
            loaded, saved_config = read_detector(self.folder / name)
            self._keep(name, loaded, with_metrics(saved_config, report.flat()))
        caution = learned_nothing(history, report.flat()[CHOSEN_BY], fit.step)
        content = {
            "source": self.source, "data": self.data.spec, "trained_on": len(self.train_split), "split": split.name,
            "chosen": selected, "iteration": best_at, "validation": self.history, "seconds": round(self.elapsed(), 1),
            **report.as_json(), **({"caution": caution} if caution else {}),
        }  # fmt: skip
        with atomic_file(self.folder / "metrics.json") as temporary:
            temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        self.journal.record("end", step=fit.step, seconds=round(self.elapsed(), 1), interrupted=False, **report.flat())
        shown = {k: v for k, v in report.flat().items() if k in ("AP", "AP50", "VOC07_AP50") and v is not None}
        figures = "  ".join(f"{k} {v:.2f}" for k, v in shown.items())
        self.journal.say(f"done in {duration(self.elapsed())}; the {selected} detector on {split.name}: {figures}")
        if caution:
            self.journal.say(caution, "caution")
        return FinetuneResult(
            self.folder, fit.step, fit.step, False, selected, best_at, best_ap, split.name, report, caution
        )

    def _announce(self, then: str) -> None:
        """Write a line about a phase that can take minutes."""
        count = self.fit.precise_batches
        words = [f"norm statistics of {count} batches"] * bool(count) + [then] * bool(then)
        if words:
            self.journal.say(f"iteration {self.fit.step}: {', then '.join(words)}")

    @contextmanager
    def _precise(self) -> Iterator[None]:
        """Measure exact statistics, which norms have within the block.

        Raises:
            StopRequested: a signal came, to this process or another, and the statistics are as before.
        """
        fabric = self.fit.fabric
        with ExitStack() as stack:
            stop = stop_between(lambda: any_of(fabric, bool(self.stopped))[0])
            with stop, self.times.measure(Phase(STATISTICS, self.fit.precise_batches)):
                stack.enter_context(self.fit.precise())
            yield

    def _config(self, figures: dict[str, float | None]) -> DetectorConfig:
        return DetectorConfig(self.source, self.data.classes, self.fit.recipe.detector, self.fit.step, figures)

    def _keep(self, name: str, model: GeneralizedRCNN, config: DetectorConfig) -> None:
        epochs = config.iterations * self.fit.recipe.engine.batch_size / self.trained.images
        trained = replace(self.trained, epochs=round(epochs, 3))
        save_detector(self.folder / name, model, config, self.origin.spec, self.origin.config, trained)

    def describe(self) -> None:
        """Write the recipe and run.json."""
        split, report = self.train_split, str(getattr(self.fit.model, "load_report", "from scratch"))
        ids = {part.source: [i.key.id for i in split.images if i.key.part == part.number] for part in split.parts}
        content = {
            "source": self.source, "data": self.data.spec, "classes": list(self.data.classes), "image_ids": ids,
            "load_report": report, "starts": to_dict(self.origin.starts),
            **({} if self.unlabeled is None else {"unlabeled": self.unlabeled.as_json()}),
        }  # fmt: skip
        with disk_errors(self.folder), atomic_file(self.folder / "recipe.yaml") as temporary:
            temporary.write_text(self.fit.recipe.to_yaml(), encoding="utf-8")
        with atomic_file(self.folder / RUN) as temporary:
            temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
