"""What became of a run, read from its log: the verdict against its start, and what to try."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from adept_hub.errors import ResumeError
from adept_hub.io.read import BoundedReader
from adept_hub.io.write import atomic_file
from adept_hub.words.command_line import command_line
from adept_training.pretraining.asked import Asked
from adept_training.pretraining.plan import MIN_STEPS
from adept_training.pretraining.watch.log import RunLog, read_log
from adept_training.pretraining.watch.verdict import Verdict, judge
from adept_training.runtime.recipe_files import flatten

OUTCOME = "run.json"
#: Steps that a run which was too short is advised to have: three times the least.
_ENOUGH = 3 * MIN_STEPS


@dataclass(frozen=True)
class PretrainResult:
    """What a run came to. ``interrupted``: a signal or a time limit of the machine ended it, its state is saved.

    Attributes:
        verdict: against the run's own start; None where it was interrupted, or on another process than the first.
        advice: what to try, where the verdict is not ``better``.
        finished_before: the run was to be resumed, but had ended; nothing was changed.
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


def network_of(run: RunLog) -> str:
    """Return the network that is exported, as the probes name it: ``online`` or ``target``."""
    flat = flatten(run.recipe())
    separate = flat.get("method.name") == "adept_separate"
    return "online" if separate else str(flat.get("export.network", "target"))


def asked_of(run: RunLog) -> Asked:
    """Return what was typed when the run was last started."""
    known = {field.name for field in fields(Asked)}
    told = {name: value for name, value in dict(run.start.get("asked") or {}).items() if name in known}
    return Asked(**{**told, "trackers": tuple(told.get("trackers", ()))})


def verdict_of(run: RunLog) -> Verdict:
    """Judge a run by its own probes: the one before the first step and the last."""
    probes = run.of("probe")
    return judge(
        probes[0] if len(probes) > 1 else {},
        probes[-1] if len(probes) > 1 else {},
        run.series("loss")[1],
        network=network_of(run),
        steps=run.step,
        planned=int(run.start["steps"]),
        held_out=int(run.start.get("held_out", 0)),
        boxes=run.start.get("held_out_boxes"),
    )


def advice_of(run: RunLog, verdict: Verdict, seconds: float) -> list[str]:
    """Say what to try where the verdict is not ``better``: commands that work as they stand.

    Args:
        run: as its log has it.
        verdict: of `verdict_of`.
        seconds: that the run has taken.
    """
    if verdict.word == "better":
        return []
    asked, folder, flat = asked_of(run), run.folder, flatten(run.recipe())
    planned = int(run.start["steps"])
    if run.step < planned and (run.step < _ENOUGH or verdict.word == "no better"):
        wanted = min(planned, max(_ENOUGH, 2 * run.step))
        minutes = math.ceil(seconds / max(run.step, 1) * wanted / 60) + 1
        return [f"give it time for {wanted} steps: {asked.resume(folder, '--minutes', str(minutes))}"]
    if run.step < MIN_STEPS:
        return [f"more epochs: {asked.again(folder, [_epochs(flat, _ENOUGH / max(run.step, 1))])}"]
    if verdict.collapsed:
        gentle = ["optimizer.detector_lr_scale=0.2", "optimizer.predictor_lr_scale=10", "method.projector_norm=true"]
        return [f"train the detector more gently: {asked.again(folder, gentle)}"]
    if verdict.word == "worse":
        rates = [f"optimizer.{name}={flat[f'optimizer.{name}'] / 3:.3g}" for name in ("lr", "rpn_lr")
                 if flat.get(f"optimizer.{name}")]  # fmt: skip
        return [f"lower learning rates: {asked.again(folder, rates)}"]
    if verdict.word == "no better":
        return [f"more epochs: {asked.again(folder, [_epochs(flat, 2)])}"]
    judged = command_line("compare", "scratch", folder, "--data", "DATA", "--out", folder / "compare")
    return [f"let labels judge: {judged}"]


def write_outcome(run: RunLog, verdict: Verdict | None, advice: list[str], **more: Any) -> None:
    """Write run.json: the state, how far the run came, and the verdict.

    Raises:
        DiskFullError: it cannot be written.
    """
    content = {
        "state": run.state, "steps": run.step, "planned_steps": run.start["steps"],
        "verdict": None if verdict is None else as_json(verdict, advice), **more,
    }  # fmt: skip
    with atomic_file(run.folder / OUTCOME) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def read_outcome(folder: Path) -> dict[str, Any]:
    """Return the content of run.json; empty where there is none that can be read."""
    try:
        found = BoundedReader(ResumeError).json(folder / OUTCOME)
    except ResumeError:
        return {}
    numbers = [found.get(name, 0) for name in ("seconds", "steps")] if isinstance(found, dict) else [None]
    return found if all(isinstance(n, (int, float)) and abs(n) < 1 << 53 for n in numbers) else {}


def has_finished(folder: Path, identity: Mapping[str, str], steps: int, max_minutes: float | None) -> bool:
    """Return whether the run in ``folder`` has ended well, and by this recipe has nothing left to do.

    Args:
        folder: of the run.
        identity: digests of the recipe and the images, as run.json keeps them.
        steps: that the recipe plans.
        max_minutes: of the recipe, which may be more than the run had.
    """
    found = read_outcome(folder)
    if found.get("state") != "done" or found.get("identity") != identity:
        return False
    if not (folder / "export" / "config.json").is_file():
        return False
    timed_out = max_minutes is not None and float(found.get("seconds", 0)) >= 60 * max_minutes
    return int(found.get("steps", 0)) >= steps or timed_out


def finished_before(folder: Path, steps: int) -> PretrainResult:
    """Return the outcome of a run that `has_finished`, as its log and run.json have it."""
    log = read_log(folder)
    verdict = verdict_of(log)
    advice = advice_of(log, verdict, float(read_outcome(folder)["seconds"]))
    probes = log.of("probe") or [{}]
    first, last = ({k: v for k, v in probes[i].items() if k not in ("kind", "time", "step")} for i in (0, -1))
    return PretrainResult(folder, log.step, steps, False, first, last, verdict, tuple(advice), finished_before=True)


def as_json(verdict: Verdict, advice: list[str]) -> dict[str, Any]:
    """Return a verdict for programs."""
    return {**asdict(verdict), "reasons": list(verdict.reasons), "sentence": verdict.sentence, "try": advice}


def _epochs(flat: Mapping[str, Any], factor: float) -> str:
    return f"schedule.epochs={math.ceil(float(flat.get('schedule.epochs', 1)) * factor)}"
