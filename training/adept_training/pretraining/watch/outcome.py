"""The result of a run, read from its log: the verdict against its start, and advice."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from adept_hub.cards.random_share import MAX_RANDOM_SHARE
from adept_hub.errors import ResumeError
from adept_hub.io.read import BoundedReader
from adept_hub.io.write import atomic_file
from adept_training.comparing.command import compare_command
from adept_training.pages.inline import files, inline, number, paragraphs, table
from adept_training.planning.need import NEAR, Outlook, look_ahead, more_time, need_of
from adept_training.pretraining.asked import Asked
from adept_training.pretraining.pace import MIN_STEPS
from adept_training.pretraining.watch.log import RunLog, read_log
from adept_training.pretraining.watch.verdict import Verdict, judge
from adept_training.runtime.recipe_files import flatten

OUTCOME, REPORT = "run.json", "report.html"


@dataclass(frozen=True)
class PretrainResult:
    """Result of a run. ``interrupted``: a signal or a time limit of the machine ended it, its state is saved.

    Attributes:
        license: of the exported weights.
        random_share: share of random initial values in the exported weights; None: unknown.
        verdict: against the run's own start; None if it was interrupted, or on processes other than the first.
        advice: suggestions if the verdict is not ``better``.
        finished_before: the run to resume had already ended; nothing was changed.
    """

    folder: Path
    steps: int
    planned_steps: int
    interrupted: bool
    first: dict[str, float]
    last: dict[str, float]
    verdict: Verdict | None = None
    advice: tuple[str, ...] = ()
    finished_before: bool = False
    random_share: float | None = None
    license: str = "unstated"

    def _repr_html_(self) -> str:
        """Show the verdict, the probes before and after, and where the files are, in a notebook."""
        state = " (interrupted; resume=True continues)" if self.interrupted else ""
        rows = [[name.replace("_", " "), *(number(end.get(name), 3) for end in (self.first, self.last))]
                for name in self.last]  # fmt: skip
        return inline(
            f"{self.folder}: {self.steps} of {self.planned_steps} steps{state}",
            "" if self.verdict is None else paragraphs([self.verdict.sentence], self.verdict.tone),
            table(["held-out images", "before", "after"], rows),
            paragraphs(self.advice),
            files({"Report": self.folder / REPORT, "Weights": self.folder / "export"}),
        )


def network_of(run: RunLog) -> str:
    """Return the exported network by its name in the probes: ``online`` or ``target``."""
    flat = flatten(run.recipe())
    single = flat.get("method.name") in ("adept_separate", "detection")
    return "online" if single else str(flat.get("export.network", "target"))


def asked_of(run: RunLog) -> Asked:
    """Return the options of the last start of the run."""
    names = {field.name for field in fields(Asked)}
    options = {name: value for name, value in dict(run.start.get("asked") or {}).items() if name in names}
    return Asked(**{**options, "trackers": tuple(options.get("trackers", ()))})


def ends_of(run: RunLog) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the probe before the first step and the last one; empty if there are no two."""
    probes = run.of("probe")
    return (probes[0], probes[-1]) if len(probes) > 1 else ({}, {})


def verdict_of(run: RunLog) -> Verdict:
    """Compare the last probe of a run with the one before the first step."""
    first, last = ends_of(run)
    return judge(
        first,
        last,
        run.series("loss")[1],
        network=network_of(run),
        steps=run.step,
        planned=int(run.start["steps"]),
        held_out=int(run.start.get("held_out", 0)),
        boxes=run.start.get("held_out_boxes"),
    )


def outlook_of(run: RunLog) -> Outlook:
    """Return what a run has seen, and whether that is enough for its method."""
    flat = flatten(run.recipe())
    need = need_of(str(flat.get("method.name")), str(flat.get("method.objective")))
    images, batch = (
        value if isinstance(value, int) and 0 < value < 1 << 53 else 1  # the files may be damaged
        for value in (run.start.get("images"), flat.get("engine.batch_size"))
    )
    return look_ahead(need, images, batch, run.step)


def random_share_of(run: RunLog) -> float | None:
    """Return the share of random initial values in the weights of a run, as last logged; None: unknown."""
    return next(iter(run.series("random_share")[1][-1:]), None)


def advice_of(run: RunLog, verdict: Verdict, seconds: float) -> list[str]:
    """Suggest commands that work as they stand, if the verdict is not ``better`` or much of the random start is left.

    Args:
        run: its log.
        verdict: the result of `verdict_of`.
        seconds: duration of the run.
    """
    share = random_share_of(run)
    bounded = flatten(run.recipe()).get("method.momentum_bound") == "run"
    bound = [] if bounded or share is None or share <= MAX_RANDOM_SHARE else ["method.momentum_bound=run"]
    advice = _by_verdict(run, verdict, seconds, bound)
    if bound and not any(bound[0] in text for text in advice):
        advice.insert(0, f"leave less of the random start: {asked_of(run).again(run.folder, bound)}")
    return advice


def _by_verdict(run: RunLog, verdict: Verdict, seconds: float, bound: list[str]) -> list[str]:
    """Suggest what to try by the verdict; new runs get the settings in ``bound`` too."""
    if verdict.word == "better":
        return []
    asked, folder, flat = asked_of(run), run.folder, flatten(run.recipe())
    enough = outlook_of(run).enough_steps
    short = run.step < NEAR * enough
    if run.step < MIN_STEPS or (short and verdict.word == "no better"):
        return [_longer(run, enough, seconds, bound)]
    if verdict.collapsed and flat.get("method.name") != "detection":
        gentle = [f"optimizer.lr_scale.{part}=0.2" for part in ("backbone", "fpn", "head")]
        gentle += ["optimizer.lr_scale.predictor=10", "method.projector_norm=true"]
        return [f"train the detector more gently: {asked.again(folder, [*gentle, *bound])}"]
    if verdict.word == "worse":
        rates = [f"optimizer.{name}={flat[f'optimizer.{name}'] / 3:.3g}" for name in ("lr", "rpn_lr")
                 if flat.get(f"optimizer.{name}")]  # fmt: skip
        return [f"lower learning rates: {asked.again(folder, [*rates, *bound])}"]
    if verdict.word == "no better":
        return [_longer(run, 2 * run.step, seconds, bound)]
    judged = compare_command(folder, folder / "compare")
    return [f"evaluate with labels: {judged}"]


def write_outcome(run: RunLog, verdict: Verdict | None, advice: list[str], **more: Any) -> None:
    """Write run.json: the state, how far the run came, and the verdict.

    Raises:
        DiskFullError: the file cannot be written.
    """
    content = {
        "state": run.state, "steps": run.step, "planned_steps": run.start["steps"],
        "random_share": random_share_of(run), "verdict": None if verdict is None else as_json(verdict, advice), **more,
    }  # fmt: skip
    with atomic_file(run.folder / OUTCOME) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def read_outcome(folder: Path) -> dict[str, Any]:
    """Return the content of run.json; empty if there is no readable one."""
    try:
        content = BoundedReader(ResumeError).json(folder / OUTCOME)
    except ResumeError:
        return {}
    numbers = [content.get(name, 0) for name in ("seconds", "steps")] if isinstance(content, dict) else [None]
    return content if all(isinstance(n, (int, float)) and abs(n) < 1 << 53 for n in numbers) else {}


def has_finished(folder: Path, identity: Mapping[str, str], steps: int, max_minutes: float | None) -> bool:
    """Check whether the run in ``folder`` has ended well, and has nothing left to do by this recipe.

    Args:
        folder: folder of the run.
        identity: digests of the recipe and the images, as in run.json.
        steps: planned steps of the recipe.
        max_minutes: time limit of the recipe, which may exceed the run's.
    """
    content = read_outcome(folder)
    if content.get("state") != "done" or content.get("identity") != identity:
        return False
    if not (folder / "export" / "config.json").is_file():
        return False
    timed_out = max_minutes is not None and float(content.get("seconds", 0)) >= 60 * max_minutes
    return int(content.get("steps", 0)) >= steps or timed_out


def finished_before(folder: Path, steps: int) -> PretrainResult:
    """Return the result of a run that `has_finished`, from its log and run.json."""
    log = read_log(folder)
    verdict = verdict_of(log)
    advice = advice_of(log, verdict, log.seconds)
    probes = log.of("probe") or [{}]
    first, last = ({k: v for k, v in probes[i].items() if k not in ("kind", "time", "step")} for i in (0, -1))
    return PretrainResult(
        folder, log.step, steps, False, first, last, verdict, tuple(advice), finished_before=True,
        random_share=random_share_of(log),
    )  # fmt: skip


def as_json(verdict: Verdict, advice: list[str]) -> dict[str, Any]:
    """Return a verdict as JSON."""
    return {**asdict(verdict), "reasons": list(verdict.reasons), "sentence": verdict.sentence, "try": advice}


def _longer(run: RunLog, steps: int, seconds: float, bound: list[str]) -> str:
    training = min(seconds, run.step * _seconds_per_step(run, seconds))
    minutes = math.ceil((training / max(run.step, 1) * steps + seconds - training) / 60) + 1
    planned, flat = int(run.start["steps"]), flatten(run.recipe())
    return f"{more_time(steps, minutes)}: {asked_of(run).longer(run.folder, flat, planned, steps, minutes, bound)}"


def _seconds_per_step(run: RunLog, seconds: float) -> float:
    """Return the duration of a step as logged, without probes; of a damaged log the share of all seconds."""
    speeds = [speed for speed in run.series("images_per_s")[1] if speed > 0]
    batch = flatten(run.recipe()).get("engine.batch_size")
    if not speeds or not isinstance(batch, int):
        return seconds / max(run.step, 1)
    return batch / statistics.median(speeds)
