"""Compare a pre-training with its own start by its logged metrics: records in, a verdict out.

The loss is not a criterion: it falls fastest when the features collapse. The criteria are measured on held-out images
before the first step and after the last: how well the RPN ranks anchors (AUC) and covers boxes (recall), and in how
many directions the features of different boxes still differ (rank).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from adept_training.pages.page import Tone
from adept_training.pretraining.pace import MIN_STEPS

Word = Literal["better", "no better", "worse", "too short", "not judged"]

#: Smaller changes of a share in [0, 1] are noise, however many boxes it is based on.
MARGIN = 0.03
#: A head whose features differ in fewer directions has collapsed: weights of rank 2 to 3 fine-tuned worse than random
#: ones, of rank 12 unevenly, of rank 18 to 24 better (docs/evidence/pretraining.md).
MIN_RANK = 4.0
#: Fewer held-out boxes have no meaningful rank.
_MIN_RANK_BOXES = 40
#: Maximum number of log records whose mean is the loss at either end.
_ENDS = 5

_SHARES = {
    "objectness_auc": "objectness AUC (0.5 is chance)",
    "objectness_auc_level": "objectness AUC within levels (0.5 is chance)",
    "recall100_iou50": "recall of 100 proposals at IoU 0.5",
    "recall100_iou70": "recall of 100 proposals at IoU 0.7",
}
_TONES: Mapping[Word, Tone] = {
    "better": "good", "no better": "caution", "worse": "bad", "too short": "caution", "not judged": "neutral",
}  # fmt: skip


@dataclass(frozen=True)
class Change:
    """A share in [0, 1] before the first step and after the last.

    Attributes:
        key: its name in the log without the network.
        margin: smaller changes are noise.
    """

    key: str
    before: float
    after: float
    margin: float

    @property
    def word(self) -> Literal["rose", "fell", "same"]:
        """Return the direction of a change by more than the margin."""
        if not abs(self.after - self.before) > self.margin:
            return "same"
        return "rose" if self.after > self.before else "fell"

    @property
    def line(self) -> str:
        """The change as a reason of a verdict."""
        return f"{_SHARES.get(self.key, self.key)} {self.before:.2f} -> {self.after:.2f}"


def changes_between(
    first: Mapping[str, Any], last: Mapping[str, Any], network: str, boxes: int | None, keys: Iterable[str] = _SHARES
) -> list[Change]:
    """Return how the shares ``keys`` changed, of those that both probes have; arguments as in `judge`."""
    margin = max(MARGIN, 1 / math.sqrt(boxes) if boxes else MARGIN)
    ends = ((key, number(first, f"{network}_{key}"), number(last, f"{network}_{key}")) for key in keys)
    return [Change(key, a, b, margin) for key, a, b in ends if a is not None and b is not None]


@dataclass(frozen=True)
class Verdict:
    """A verdict, its reasons, and suggestions.

    Attributes:
        word: ``better``, ``no better``, ``worse``, ``too short``, or ``not judged`` if nothing was measured that could
                be compared with the start.
        reasons: sentences, the decisive ones first.
        collapsed: whether the head's features have collapsed.
    """

    word: Word
    reasons: tuple[str, ...]
    collapsed: bool = False

    @property
    def tone(self) -> Tone:
        """Tone of the verdict on pages; only ``better`` is green."""
        return _TONES[self.word]

    @property
    def sentence(self) -> str:
        """The verdict and its reasons in one line."""
        head = {"too short": "too short to judge", "not judged": "not judged"}.get(
            self.word, f"{self.word} than the start"
        )
        return f"{head}: {'; '.join(self.reasons)}"


def judge(
    first: Mapping[str, Any],
    last: Mapping[str, Any],
    losses: Sequence[float],
    *,
    network: str,
    steps: int,
    planned: int,
    held_out: int = 0,
    boxes: int | None = None,
) -> Verdict:
    """Compare a run's first and last probe and its losses.

    ``worse``: some share fell by more than its margin and none rose, or the RPN ends by ranking objects below
    background. ``better``: some rose and none fell, and the head has not collapsed. Fewer than `MIN_STEPS` steps that
    did no harm are ``too short``.

    Args:
        first: probe before the first step, by the log's names (``target_objectness_auc``, ...).
        last: probe after the last step.
        losses: the logged means of the loss, in order.
        network: the exported one, ``target`` or ``online``.
        steps: number of finished steps.
        planned: steps of the whole schedule.
        held_out: number of probed images.
        boxes: number of their boxes; None: unknown. The margin of a share is the widest 95% interval of a share of this
                many, 1 / sqrt(boxes), and at least `MARGIN`.
    """
    changes = changes_between(first, last, network, boxes)
    up = [change.line for change in changes if change.word == "rose"]
    down = [change.line for change in changes if change.word == "fell"]
    below_chance = any("auc" in change.key and change.after < 0.5 - change.margin for change in changes)
    rank = number(last, f"{network}_head_rank")
    collapsed = rank is not None and rank < MIN_RANK and (boxes is None or boxes >= _MIN_RANK_BOXES)
    if collapsed:
        down.append(f"the head's features of different boxes differ in only {rank:.1f} directions: collapsed")
    short = _shortness(steps, planned)
    if (down and not up) or below_chance:
        below = ["the RPN ranks objects below background"] if below_chance else []
        return Verdict("worse", (*down, *below, *short), collapsed)
    if steps < MIN_STEPS:
        return Verdict("too short", (*short, *up, *down), collapsed)
    if not changes:
        return _by_loss(losses, held_out, collapsed, down)
    if up and not down:
        return Verdict("better", tuple(up), collapsed)
    if up:
        return Verdict("no better", (*down, *up), collapsed)
    still = f"nothing changed by more than {changes[0].margin:.2f}"
    return Verdict("no better", (still, *(change.line for change in changes)), collapsed)


def _by_loss(losses: Sequence[float], held_out: int, collapsed: bool, down: Sequence[str]) -> Verdict:
    """Return the verdict without a share to compare: a loss that did not fall is not a gain; a fall proves nothing."""
    finite = [value for value in losses if math.isfinite(value)]
    count = max(min(_ENDS, len(finite) // 2), 1)
    ends = _mean(finite[:count]), _mean(finite[-count:])
    line = f"loss {ends[0]:.3g} -> {ends[1]:.3g}"
    if len(finite) > 1 and ends[1] >= ends[0]:
        return Verdict("no better", (*down, f"the loss did not fall ({line})"), collapsed)
    why = "this method trains no RPN" if held_out else "no images were held out (one in twenty is, from twenty up)"
    fell = [line, "a falling loss proves nothing"] if finite else []
    return Verdict("not judged", (*down, why, *fell), collapsed)


def _shortness(steps: int, planned: int) -> list[str]:
    reasons = (
        [f"{steps} steps are too few to learn from (at least {MIN_STEPS} are needed)"] if steps < MIN_STEPS else []
    )
    return reasons + ([f"the time limit ended it at {steps} of {planned} steps"] if steps < planned else [])


def number(values: Mapping[str, Any], name: str) -> float | None:
    """Return a value of a probe; None if it is missing or not finite."""
    value = values.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value)


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else math.nan
