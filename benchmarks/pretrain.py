"""Images a second of a pre-training step, variants taking turns on the same inputs in one process.

``python -m benchmarks.pretrain`` prints ratios to ``all_levels``, which does the work of SoCo's released step: every
box through the head on every level, and two sets of boxes on V1 (``--box-sets separate``). Boxes are uniform draws of
selective search's filter: sqrt-area 0.3-0.8 of the photograph, ratio 1/3-3.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from adept_training.data.loader import Batch, BoxBatch, ViewBatch
from adept_training.data.photometric import Colours
from adept_training.engine.optim import make_optimiser
from adept_training.engine.recipe import Recipe, load_recipe
from adept_training.method.adept import Adept
from adept_training.method.networks import update_target

VARIANTS = {
    "all_levels": ("method.name=soco", "method.head_mode=all_levels"),
    "assigned": ("method.name=soco", "method.head_mode=assigned"),
    "joint": ("method.name=adept_joint", "method.head_mode=assigned"),
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--depth", type=int, default=50)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--sizes", type=int, nargs=3, default=[224, 224, 112])
    parser.add_argument("--box-sets", choices=("shared", "separate"), default="separate")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    common = (
        f"model.depth={args.depth}", f"views.sizes={args.sizes}", f"views.box_sets={args.box_sets}",
        f"engine.batch_size={args.batch}", "engine.precision=fp32",
    )  # fmt: skip
    recipes = {name: load_recipe(None, (*common, *settings)) for name, settings in VARIANTS.items()}
    batch = make_batch(args.batch, tuple(args.sizes), 1 if args.box_sets == "shared" else 2)
    seconds = take_turns({name: make_step(recipe, batch) for name, recipe in recipes.items()}, args.rounds)
    speeds = {name: args.batch / statistics.median(times) for name, times in seconds.items()}
    report = {
        "images_per_s": {name: round(speed, 3) for name, speed in speeds.items()},
        "ratio_to_all_levels": {name: round(speed / speeds["all_levels"], 3) for name, speed in speeds.items()},
        "peak_memory_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "threads": torch.get_num_threads(),
    }
    if args.json:
        print(json.dumps(report))
        return
    for name, speed in speeds.items():
        print(f"{name:12s} {speed:7.2f} images/s   {speed / speeds['all_levels']:.2f} x all_levels")
    print(f"peak memory of the whole process {report['peak_memory_mib']} MiB, {report['threads']} threads")


def make_step(recipe: Recipe, batch: Batch) -> Callable[[], None]:
    """A whole training step: target's update, both networks, losses, gradients, LARS."""
    torch.manual_seed(0)
    model = Adept(recipe.model, recipe.method, recipe.views.sizes).to(memory_format=torch.channels_last).train()
    optimiser = make_optimiser(model, recipe.optimiser, recipe.engine.batch_size)

    def step() -> None:
        update_target(model.target, model.online, 0.99)
        loss = model(batch).loss
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()

    return step


def take_turns(steps: dict[str, Callable[[], None]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each variant in each round, after one round that is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(rounds + 1):
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            if turn:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def make_batch(images: int, sizes: tuple[int, ...], sets: int) -> Batch:
    """Random pixels without colour changes and realistic boxes; V2 shows 3/4 of the photograph, V3 the same at half."""
    rng = np.random.default_rng(0)
    views, boxes = [], []
    for view, size in enumerate(sizes):
        pixels = torch.from_numpy(rng.integers(0, 256, (images, size, size, 3), dtype=np.uint8))
        zeros, colours = torch.zeros(images), torch.tensor([1.0, 1, 1, 0]).repeat(images, 1)
        order = torch.arange(4).repeat(images, 1)
        views.append(
            ViewBatch(pixels, Colours(colours, order, zeros.bool(), zeros, zeros.bool(), torch.zeros(images, 4, 4)))
        )
        boxes.append([_boxes(rng, images, size, 1.0 if view == 0 else 1.15) for _ in range(sets)])
    return Batch(
        (views[0], views[1], views[2]), tuple(boxes[0]), boxes[1][0], boxes[2][0], boxes[0][0], boxes[0][0],
        torch.zeros(images, 3, 5), torch.arange(images), torch.zeros(images, dtype=torch.bool),
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
