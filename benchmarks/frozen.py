"""Step time and memory with a frozen backbone, stem or teacher against none, variants taking turns on the same inputs.

``python -m benchmarks.frozen`` prints ratios to the step in which everything is trained, for ADePT's joint method.
Memory is the peak of a process of its own for each variant (on a GPU: of the allocator), less that before its step.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics

import torch

from adept_training.pretraining.recipe import Recipe, load_recipe
from benchmarks.pretrain.batch import make_batch, to_device
from benchmarks.pretrain.step import make_model, make_step, peak_memory, take_turns, train_on

VARIANTS = {
    "none": (), "stem": ("method.freeze=stem",), "backbone": ("method.freeze=backbone",),
    "teacher": ("method.freeze=backbone", "method.teacher=frozen"),
}  # fmt: skip


def main() -> None:
    """Measure and print."""
    args = arguments()
    if args.threads:
        torch.set_num_threads(args.threads)
    # Before this process grows: a child's peak begins with its parent's.
    processes = multiprocessing.get_context("spawn")
    with processes.Pool(1, maxtasksperchild=1) as pool:
        memory = dict(zip(VARIANTS, pool.starmap(memory_of, [(name, args) for name in VARIANTS], 1), strict=True))
    batch = to_device(make_batch(args.batch, tuple(args.sizes), 1), args.device)
    steps = {name: make_step(*make_model(recipe(name, args), args), batch, args) for name in VARIANTS}
    seconds = {name: statistics.median(times) for name, times in take_turns(steps, args.rounds, args.device).items()}
    report = {
        name: {
            "seconds_per_step": round(seconds[name], 4), "times_faster": round(seconds["none"] / seconds[name], 3),
            "memory_mib": memory[name], "share_of_memory": round(memory[name] / memory["none"], 3),
        }
        for name in VARIANTS
    }  # fmt: skip
    if args.json:
        print(json.dumps(report))
        return
    for name, row in report.items():
        print(
            f"{name:9s} {1000 * row['seconds_per_step']:8.0f} ms per step, {row['times_faster']:.2f} x faster; "
            f"{row['memory_mib']:6d} MiB, {row['share_of_memory']:.2f} of the memory"
        )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--depth", type=int, default=50)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--sizes", type=int, nargs=3, default=[224, 224, 112])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--json", action="store_true")
    parser.set_defaults(compile=False)
    return parser.parse_args()


def recipe(name: str, args: argparse.Namespace) -> Recipe:
    settings = (f"model.depth={args.depth}", f"views.sizes={args.sizes}", f"engine.batch_size={args.batch}")
    return load_recipe(None, (*settings, *VARIANTS[name]))


def memory_of(name: str, args: argparse.Namespace) -> int:
    """MiB that a model, its optimizer and two steps take in this process."""
    batch = to_device(make_batch(args.batch, tuple(args.sizes), 1), args.device)
    before = peak_memory(args.device)
    model, optimizer = make_model(recipe(name, args), args)
    for _ in range(2):
        train_on(model, optimizer, batch, args)
    return max(peak_memory(args.device) - before, 1)


if __name__ == "__main__":
    main()
