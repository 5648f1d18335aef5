"""Resolve ``precision: auto`` to the faster arithmetic on the device.

bfloat16 halves the memory and, on GPUs and on CPUs with AMX, the time. A CPU without it emulates bfloat16 and takes 50%
longer, which no CPU flag indicates reliably; so a few passes of the recipe's own network are timed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch

from adept_hub.models.parts import DetectorParts
from adept_training.pretraining.recipe import Recipe, load_recipe
from adept_training.runtime.launch import processes

#: bfloat16 is less exact: it is used if it saves at least a tenth of the time.
_WORTH = 0.9
_IMAGES, _SECONDS = 4, 3.0

Timer = Callable[[Recipe, bool], float]


def resolve_precision(recipe: Recipe, folder: Path, *, resume: bool, timer: Timer | None = None) -> tuple[Recipe, str]:
    """Return the recipe with ``auto`` resolved, and the reason for the log.

    Args:
        recipe: one with a fixed precision is returned unchanged, without a reason.
        folder: folder of the run; a resumed run keeps its precision.
        timer: returns the seconds of a step of the recipe's network; takes whether in bfloat16.
    """
    if recipe.engine.precision != "auto":
        return recipe, ""
    choice, reason = _choose(recipe, folder, resume, timer or seconds_of_a_step)
    return replace(recipe, engine=replace(recipe.engine, precision=choice)), f"precision {choice}: {reason}"


def _choose(recipe: Recipe, folder: Path, resume: bool, timer: Timer) -> tuple[Literal["fp32", "bf16", "fp16"], str]:
    before = folder / "recipe.yaml"
    if resume and before.is_file():
        precision = load_recipe(before).engine.precision
        if precision in ("fp32", "bf16", "fp16"):
            return precision, "as the run began"
    if torch.cuda.is_available():
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return "bf16", "the GPU computes in it"
        return "fp16", "the GPU has no bf16"
    if processes() > 1:
        return "fp32", "several processes on CPUs are not timed; change it with --set engine.precision=bf16"
    full, half = timer(recipe, False), timer(recipe, True)
    timed = f"a pass of {_IMAGES} views takes {full:.3g} s in fp32 and {half:.3g} s in bf16 here, by one thread"
    return ("bf16" if half < _WORTH * full else "fp32"), timed


def seconds_of_a_step(recipe: Recipe, half: bool) -> float:
    """Return the minimal CPU seconds of a forward and backward pass of backbone and FPN on a few random views.

    They are those of one thread, which does not count what it waits for: other work on the machine must not decide.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _time_passes(recipe, half)
    finally:
        torch.set_num_threads(threads)


def _time_passes(recipe: Recipe, half: bool) -> float:
    parts = DetectorParts(recipe.model).train()
    views = torch.randn(_IMAGES, 3, recipe.views.sizes[0], recipe.views.sizes[0])
    if recipe.engine.channels_last:
        parts, views = parts.to(memory_format=torch.channels_last), views.contiguous(memory_format=torch.channels_last)
    best, began = float("inf"), time.perf_counter()
    for repeat in range(4):
        start = time.thread_time()
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            total = torch.stack([feat.float().square().mean() for feat in parts.pyramid(views)]).sum()
        total.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        if repeat:  # the first pass prepares kernels
            best = min(best, time.thread_time() - start)
        if repeat and time.perf_counter() - began > _SECONDS:
            break
    return best
