"""The time until a command ends, by a clock moved by hand."""

from __future__ import annotations

import contextlib

import pytest

from adept_training.runtime.remaining import Phase, PhaseTimes

STATISTICS, VAL, TEST = Phase("norm statistics", 50), Phase("evaluation", 20), Phase("evaluation", 80)


@pytest.mark.parametrize(
    ("ahead", "seconds", "eta"),
    [
        ([], {}, "1:05"),
        ([VAL], {}, "1:05 plus 1 evaluation"),
        ([VAL, TEST], {}, "1:05 plus 2 evaluations"),
        ([STATISTICS, VAL, STATISTICS, VAL, TEST], {}, "1:05 plus norm statistics and 3 evaluations"),
        ([STATISTICS, VAL, TEST], {"norm statistics": 0.5}, "1:30 plus 2 evaluations"),
        ([STATISTICS, VAL, STATISTICS, VAL, TEST], {"norm statistics": 0.5, "evaluation": 2.0}, "5:55"),
        ([Phase("norm statistics", 0), Phase("evaluation", 0)], {}, "1:05"),
    ],
)
def test_phases_that_were_measured_are_added_and_others_named(
    ahead: list[Phase], seconds: dict[str, float], eta: str
) -> None:
    assert PhaseTimes(seconds=seconds).eta(65.0, ahead) == eta


def test_a_phase_is_measured_per_unit_and_by_the_last_time() -> None:
    now = [7.0]
    times = PhaseTimes(lambda: now[0])
    for phase, took in ((STATISTICS, 100.0), (VAL, 10.0), (TEST, 80.0), (Phase("evaluation", 0), 9.0)):
        with times.measure(phase):
            now[0] += took
    assert times.seconds == {"norm statistics": 2.0, "evaluation": 1.0}
    with contextlib.suppress(KeyboardInterrupt), times.measure(VAL):
        now[0] += 1.0
        raise KeyboardInterrupt
    assert times.seconds["evaluation"] == 1.0, "an unfinished phase is no measurement"
