"""Summarize a run in plain words: a headline, the reasons, and the commands to type next."""

from __future__ import annotations

from collections.abc import Sequence

from adept_training.comparing.command import compare_command
from adept_training.pages.page import Tone
from adept_training.pretraining.asked import next_commands
from adept_training.pretraining.watch.log import RunLog
from adept_training.pretraining.watch.outcome import advice_of, asked_of
from adept_training.pretraining.watch.verdict import Change, Verdict
from adept_training.runtime.journal import duration
from adept_training.runtime.recipe_files import flatten

_STATES: dict[str, tuple[str, Tone]] = {
    "stopped": ("It stopped with an error.", "bad"),
    "interrupted": ("Interrupted; its state is saved.", "caution"),
    "unfinished": ("Still running, or killed.", "caution"),
}
_WORDS = {
    "better": "It learned.",
    "no better": "No clear gain.",
    "worse": "It is worse than its start.",
    "too short": "Too short for a verdict.",
    "not judged": "No verdict: nothing could be compared with its start.",
}
#: Sentences about a share that changed; the first of each pair that applies is enough.
_SENTENCES = (
    {
        "recall100_iou50": "its RPN's best 100 proposals cover {after:.0%} of the boxes in held-out images "
                           "({before:.0%} at the start)",
        "recall100_iou70": "its RPN's best 100 proposals cover {after:.0%} of the boxes in held-out images tightly, at "
                           "an IoU of 0.7 ({before:.0%} at the start)",
    },
    {
        "objectness_auc": "the RPN scores an object above background in {after:.0%} of all pairs ({before:.0%} at the "
                          "start, 50% is guessing)",
        "objectness_auc_level": "within a level, the RPN scores an object above background in {after:.0%} of all pairs "
                                "({before:.0%} at the start, 50% is guessing)",
    },
)  # fmt: skip


def headline(run: RunLog, verdict: Verdict | None) -> tuple[str, Tone]:
    """Return a few words on how the run ended, and their tone; ``verdict`` is None unless it is done."""
    if verdict is None:
        return _STATES.get(run.state, _STATES["unfinished"])
    if verdict.collapsed:
        collapsed = "It collapsed." if verdict.word == "worse" else "Its RoI head collapsed."
        return collapsed, "bad" if verdict.word == "worse" else verdict.tone
    return _WORDS[verdict.word], verdict.tone


def reasons(verdict: Verdict, changes: Sequence[Change]) -> str:
    """Return the reasons of a verdict as sentences, with shares in percent.

    Args:
        verdict: made of ``changes``.
        changes: what `adept_training.pretraining.watch.verdict.changes_between` returns for the same probes.
    """
    lines = {change.line: change for change in changes}
    others = [reason for reason in verdict.reasons if reason not in lines]
    moved = {change.key: change for change in changes if change.word != "same"}
    shares = []
    for pair in _SENTENCES:
        key = next((key for key in pair if key in moved), None)
        if key is not None:
            shares.append(pair[key].format(before=moved[key].before, after=moved[key].after))
    return " ".join(f"{text[0].upper()}{text[1:]}." for text in [*others, *shares])


def progress(run: RunLog) -> str:
    """Return how far the run came, and its error if it stopped with one."""
    epochs = run.series("epoch")[1]
    far = f"{run.step} of {run.start['steps']} steps" + (f" ({epochs[-1]:.2f} epochs)" if epochs else "")
    end = run.records[-1]
    sentence = {
        "done": f"Done: {far}" + (f", {duration(end['seconds'])}." if "seconds" in end else "."),
        "interrupted": f"Interrupted by a signal after {far}; the state is saved.",
        "stopped": f"Stopped after {far}: {' '.join(str(end.get('error', '')).split())}",
        "unfinished": f"Still running, or killed, at {far}.",
    }[run.state]
    return sentence + (f" {run.torn} incomplete lines of the log were ignored." if run.torn else "")


def type_next(run: RunLog, verdict: Verdict | None) -> list[tuple[str, str]]:
    """Return what to type next: purposes and commands."""
    if verdict is None:
        return [("Continue it", asked_of(run).resume(run.folder))]
    advice = advice_of(run, verdict, run.seconds)
    tips = [(text.partition(": ")[0], text.partition(": ")[2]) for text in advice]
    tips = [(f"To try, {purpose}", command) for purpose, command in tips]
    if verdict.word != "better":
        return tips
    compared = compare_command(run.folder, run.folder / "compare")
    finetune = next(command for command in _following(run) if command.split()[1] == "finetune")
    return [("Fine-tune it on your labels", finetune),
            ("Measure what it is worth on your labels, against a random start", compared), *tips]  # fmt: skip


def more_commands(run: RunLog, shown: Sequence[tuple[str, str]]) -> list[str]:
    """Return the commands that a finished run allows, less those in ``shown``."""
    return [command for command in _following(run) if command not in {command for _, command in shown}]


def _following(run: RunLog) -> list[str]:
    if run.state != "done":
        return []
    return next_commands(run.folder, str(flatten(run.recipe()).get("export.license", "unstated")))
