"""A step of pre-training: the whole of it, its parts, its operations, and fed from files."""

from __future__ import annotations

import argparse
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch.optim import Optimizer
from torch.utils.flop_counter import FlopCounterMode

from adept_training.data.cache import side_of, write_cache
from adept_training.data.cuts import view_pixels
from adept_training.data.loader import Batch, Order, Samples, Steps, make_loader
from adept_training.data.photometric import apply_colors
from adept_training.images import open_images
from adept_training.method.adept import Adept
from adept_training.method.momentum import update_target
from adept_training.pretraining.compiled import compile_networks
from adept_training.pretraining.optim import make_optimizer
from adept_training.pretraining.recipe import Recipe
from benchmarks.boxes.any_boxes import AnyBoxes
from benchmarks.pretrain.batch import to_device


def make_model(recipe: Recipe, args: argparse.Namespace) -> tuple[Adept, Optimizer]:
    torch.manual_seed(0)
    model = Adept(recipe.model, recipe.method, recipe.views.sizes).to(args.device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch declares no device beside a memory format
    if args.compile:
        compile_networks(model, args.device, 1)
    return model.train(), make_optimizer(model, recipe.optimizer, recipe.engine.batch_size)


def make_step(model: Adept, optimizer: Optimizer, batch: Batch, args: argparse.Namespace) -> Callable[[], None]:
    """Return a function for a complete training step: target's update, both networks, losses, gradients, LARS."""
    return lambda: train_on(model, optimizer, batch, args)


def train_on(model: Adept, optimizer: Optimizer, batch: Batch, args: argparse.Namespace) -> None:
    if model.recipe.has_target:
        update_target(model.target, model.online, 0.99)
    with cast_to(args):
        loss = model(batch).loss
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()


def cast_to(args: argparse.Namespace) -> torch.autocast:
    return torch.autocast(args.device, torch.bfloat16, enabled=args.precision == "bf16")


def parts_of(model: Adept, optimizer: Optimizer, batch: Batch, args: argparse.Namespace) -> dict[str, float]:
    """Median seconds of each part of a step, taken apart and waited for one by one."""
    laps: dict[str, list[float]] = {}

    def lap(name: str, start: float) -> float:
        wait(args.device)
        now = time.perf_counter()
        laps.setdefault(name, []).append(now - start)
        return now

    sets = [batch.boxes1_S, (batch.boxes2,), (batch.boxes3,)]
    for _ in range(3):
        wait(args.device)
        at = time.perf_counter()
        update_target(model.target, model.online, 0.99)
        at = lap("target's update", at)
        with cast_to(args):
            pixels = view_pixels(batch, model.sizes)
            images = [
                apply_colors(x, view.colors, model.preprocessing, view.plan or None)
                for x, view in zip(pixels, batch.views, strict=True)
            ]
            at = lap("colors", at)
            goals = model._goals(images, sets)
            at = lap("target", at)
            pyramids = [model.online.parts.pyramid(x) for x in images]
            at = lap("backbone and FPN", at)
            predicted = model._embed(model.online, pyramids, sets)
            at = lap("RoIAlign and heads", at)
            terms = model._contrast_terms(predicted, goals, batch)
            if model.recipe.trains_rpn:
                terms |= model._rpn_terms(model._rpn_outputs(pyramids), batch)[0]
            loss = torch.stack(list(terms.values())).sum()
            at = lap("RPN and losses", at)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        at = lap("backward", at)
        optimizer.step()
        lap("optimizer", at)
    return {name: statistics.median(times) for name, times in laps.items()}


def count_gflops(recipe: Recipe, batch: Batch, args: argparse.Namespace) -> float:
    """Of the matrix products and convolutions of a step, forward and backward, for an image; uncompiled."""
    model = Adept(recipe.model, recipe.method, recipe.views.sizes).to(args.device).train()
    with FlopCounterMode(display=False) as counter, cast_to(args):
        model(batch).loss.backward()
    return counter.get_total_flops() / args.batch / 1e9


def matrix_peak(device: str, dtype: torch.dtype, side: int) -> float:
    """TFLOP/s of the best of ten products of two square matrices: what this machine gives at most."""
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    best = float("inf")
    for _ in range(10):
        wait(device)
        start = time.perf_counter()
        a @ b
        wait(device)
        best = min(best, time.perf_counter() - start)
    return 2 * side**3 / best / 1e12


def fed(recipe: Recipe, trained: tuple[Adept, Optimizer], args: argparse.Namespace) -> dict[str, float]:
    """Images a second from files on, and the share of the time for which the step waited for its batch."""
    source = open_images(args.images)
    keys = tuple(source.keys())
    folder, side = Path(args.images).with_suffix(".cache"), side_of(recipe.views.sizes)
    cache = write_cache(folder, source, keys, side, args.workers) if recipe.data.cache else None
    samples = Samples(source, AnyBoxes(), keys, recipe.views, recipe.colors, 0, cache)
    # Every worker's first batch comes at once: what is ready before the others is not counted.
    skipped = max(args.workers, 2)
    steps = Steps(Order(len(keys), args.batch, 0), 0, args.rounds + skipped)
    loader = iter(make_loader(samples, steps, args.workers, pin=args.device == "cuda"))
    waited, began = 0.0, 0.0
    for number in range(args.rounds + skipped):
        if number == skipped:
            wait(args.device)
            waited, began = 0.0, time.perf_counter()
        asked = time.perf_counter()
        batch = to_device(next(loader), args.device)
        waited += time.perf_counter() - asked
        train_on(*trained, batch, args)
    wait(args.device)
    elapsed = time.perf_counter() - began
    return {"fed_images_per_s": round(args.rounds * args.batch / elapsed, 2), "data_wait": round(waited / elapsed, 4)}


def take_turns(steps: dict[str, Callable[[], None]], rounds: int, device: str) -> dict[str, list[float]]:
    """Seconds of each variant in each round, after two rounds that are not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(rounds + 2):
        for name, step in steps.items():
            wait(device)
            start = time.perf_counter()
            step()
            wait(device)
            if turn > 1:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def peak_memory(device: str) -> int:
    """MiB: of the process on a CPU, of the allocator on a GPU."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated() // 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
