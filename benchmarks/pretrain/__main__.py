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
import statistics
from typing import Any

import torch

from adept_training.pretraining.recipe import load_recipe
from benchmarks.pretrain.batch import make_batch, to_device
from benchmarks.pretrain.step import (
    count_gflops,
    fed,
    make_model,
    make_step,
    matrix_peak,
    parts_of,
    peak_memory,
    take_turns,
)

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


if __name__ == "__main__":
    main()
