"""The list of attacks on a reader of checkpoints, and how a module adds to it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from adept_hub.names import parse_source

Attack = Callable[[Path, Path], object]


CASES: dict[str, Attack] = {}


KEY = "backbone.conv1.weight"


def attack(function: Attack) -> Attack:
    CASES[function.__name__] = function
    return function


def expect_source(name: str, text: str) -> None:
    CASES[name] = lambda work, folder: parse_source(text)
