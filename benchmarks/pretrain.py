"""Images a second of a pre-training step, variants taking turns on the same inputs in one process.

``python -m benchmarks.pretrain`` prints ratios to ``all_levels``, which does the work of SoCo's released step: every
box through the head on every level, and two sets of boxes on V1 (``--box-sets separate``). Boxes are uniform draws of
selective search's filter: sqrt-area 0.3-0.8 of the photograph, ratio 1/3-3. Then where a step's time goes, part by
part, and what share of this machine's measured matrix peak the step reaches.

On a GPU, with real photographs through the loader:

    python -m benchmarks.pretrain --device cuda --precision bf16 --compile --batch 256 --rounds 20 \\
        --variants joint --images PHOTOGRAPHS --workers 14
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.utils.flop_counter import FlopCounterMode

from adept_training.data.cache import side_of, write_cache
from adept_training.data.cuts import view_pixels
from adept_training.data.loader import Batch, BoxBatch, Order, Samples, Steps, ViewBatch, make_loader
from adept_training.data.photometric import Colors, apply_colors
from adept_training.images import open_images
from adept_training.method.adept import Adept
from adept_training.method.momentum import update_target
from adept_training.pretraining.compiled import compile_networks
from adept_training.pretraining.optim import make_optimizer
from adept_training.pretraining.recipe import Recipe, load_recipe
from benchmarks.boxes.any_boxes import AnyBoxes

VARIANTS = {
    "all_levels": ("method.name=soco", "method.head_mode=all_levels"),
    "assigned": ("method.name=soco", "method.head_mode=assigned"),
    "joint": ("method.name=adept_joint", "method.head_mode=assigned"),
}
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def main() -> None:
    """Measure and print."""
    args = arguments()
    if args.threads:
        torch.set_num_threads(args.threads)
    common = (
        f"model.depth={args.depth}", f"views.sizes={args.sizes}", f"views.box_sets={args.box_sets}",
        f"engine.batch_size={args.batch}", f"engine.precision={args.precision}",
    )  # fmt: skip
    recipes = {name: load_recipe(None, (*common, *VARIANTS[name])) for name in args.variants}
    batch = to_device(make_batch(args.batch, tuple(args.sizes), 1 if args.box_sets == "shared" else 2), args.device)
    trained = {name: make_model(recipe, args) for name, recipe in recipes.items()}
    steps = {name: make_step(*pair, batch, args) for name, pair in trained.items()}
    seconds = take_turns(steps, args.rounds, args.device)
    speeds = {name: args.batch / statistics.median(times) for name, times in seconds.items()}
    last = args.variants[-1]
    gflops = count_gflops(recipes[last], batch, args)
    peak = matrix_peak(args.device, DTYPES[args.precision], args.matrix)
    report: dict[str, Any] = {
        "images_per_s": {name: round(speed, 3) for name, speed in speeds.items()},
        "ratio_to_first": {name: round(speed / speeds[args.variants[0]], 3) for name, speed in speeds.items()},
        "seconds_of_parts": {name: round(s, 4) for name, s in parts_of(*trained[last], batch, args).items()},
        "gflop_an_image": round(gflops, 1),
        "tflop_per_s": round(gflops * speeds[last] / 1000, 3),
        "matrix_peak_tflop_per_s": round(peak, 3),
        "share_of_peak": round(gflops * speeds[last] / 1000 / peak, 3),
        "peak_memory_mib": peak_memory(args.device),
        "threads": torch.get_num_threads(),
    }
    if args.images:
        report |= fed(recipes[last], trained[last], args)
    if args.json:
        print(json.dumps(report))
        return
    for name, speed in speeds.items():
        print(f"{name:12s} {speed:8.2f} images/s   {speed / speeds[args.variants[0]]:.2f} x {args.variants[0]}")
    parts = report["seconds_of_parts"]
    print(f"a step of {last}: " + ", ".join(f"{name} {1000 * s:.0f} ms" for name, s in parts.items()))
    print(
        f"{report['gflop_an_image']} GFLOP an image, {report['tflop_per_s']} TFLOP/s of a matrix product's "
        f"{report['matrix_peak_tflop_per_s']} ({report['share_of_peak']:.0%}), {args.precision} on {args.device}"
    )
    if args.images:
        print(
            f"from photographs: {report['fed_images_per_s']} images/s, {report['data_wait']:.1%} of it waiting for data"
        )
    print(f"peak memory {report['peak_memory_mib']} MiB, {report['threads']} threads")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--depth", type=int, default=50)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--sizes", type=int, nargs=3, default=[224, 224, 112])
    parser.add_argument("--box-sets", choices=("shared", "separate"), default="separate")
    parser.add_argument("--variants", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--precision", choices=list(DTYPES), default="fp32")
    parser.add_argument("--compile", action="store_true", help="torch.compile the networks")
    parser.add_argument("--matrix", type=int, default=0, help="side of the product whose speed is the peak")
    parser.add_argument("--images", help="photographs to train on through the loader, as adept pretrain takes them")
    parser.add_argument("--workers", type=int, default=4, help="of the loader")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    args.matrix = args.matrix or (8192 if args.device == "cuda" else 2048)
    return args


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


def to_device(value: Any, device: str) -> Any:
    """Tensors of nested tuples, moved without waiting where they are pinned."""
    if isinstance(value, Tensor):
        return value.to(device, non_blocking=True)
    if not isinstance(value, tuple | list):
        return value
    moved = [to_device(item, device) for item in value]
    return type(value)(*moved) if hasattr(value, "_fields") else tuple(moved)


def make_batch(images: int, sizes: tuple[int, ...], sets: int) -> Batch:
    """Random pixels without color changes and realistic boxes; V2 shows 3/4 of the photograph, V3 the same at half."""
    rng = np.random.default_rng(0)
    views, boxes = [], []
    for view, size in enumerate(sizes):
        pixels = torch.from_numpy(rng.integers(0, 256, (images, size, size, 3), dtype=np.uint8))
        zeros, colors = torch.zeros(images), torch.tensor([1.0, 1, 1, 0]).repeat(images, 1)
        order = torch.arange(4).repeat(images, 1)
        views.append(
            ViewBatch(pixels, Colors(colors, order, zeros.bool(), zeros, zeros.bool(), torch.zeros(images, 4, 4)))
        )
        boxes.append([_boxes(rng, images, size, 1.0 if view == 0 else 1.15) for _ in range(sets)])
    return Batch(
        (views[0], views[1], views[2]), tuple(boxes[0]), boxes[1][0], boxes[2][0], boxes[0][0], boxes[0][0],
        torch.zeros(images, 3, 5), torch.arange(images), torch.zeros(images, dtype=torch.bool), torch.arange(images),
    )  # fmt: skip


def _boxes(rng: np.random.Generator, images: int, size: int, zoom: float) -> BoxBatch:
    scale = rng.uniform(0.3, 0.8, (images, 4)) * size * zoom
    ratio = np.exp(rng.uniform(-np.log(3), np.log(3), (images, 4)))
    wh = np.minimum(np.stack([scale * np.sqrt(ratio), scale / np.sqrt(ratio)], axis=2), size)
    corner = rng.random((images, 4, 2)) * (size - wh)
    found = torch.from_numpy(np.concatenate([corner, corner + wh], axis=2).astype(np.float32))
    ids: Tensor = torch.arange(4).expand(images, 4)
    return BoxBatch(found, ids, torch.ones(images, 4, dtype=torch.bool))


if __name__ == "__main__":
    main()
