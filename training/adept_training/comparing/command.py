"""The command of a comparison, as pages and messages print it."""

from __future__ import annotations

from pathlib import Path

from adept_hub.detectors.device import find_device
from adept_hub.words.command_line import command_line

#: A comparison that takes an hour or more on a CPU; the defaults, 30 runs at 800 pixels, take days.
SMALL = ("--recipe", "cpu_small", "--image-counts", "60", "--iterations", "500", "--size", "160", "--seeds", "3")


def compare_command(source: str | Path, out: str | Path) -> str:
    """Return the command that compares a source with random weights; DATA is a blank.

    Args:
        source: a run or another source.
        out: the folder of the comparison.
    """
    small = SMALL if find_device("auto").type == "cpu" else ()
    return command_line("compare", "scratch", source, "--data", "DATA", *small, "--out", out)
