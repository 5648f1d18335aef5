"""How far two processes are from one after some steps, beside how far one is from itself, changed in its last bit.

python -m benchmarks.pretrain_processes [--lr 0.1] [--rpn-lr 0.02] [--precision fp32]

The tests' small network and photographs. Told is the largest |a - b| / (1 + |a|) of any tensor of both networks.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import nn

import adept_training.pretraining.pretrain as module
from adept_training.images import open_images
from tests.training.support import RandomBoxes, tiny, write_photographs

STEPS = (1, 2, 5, 10, 15, 20)


def main() -> None:
    """Three runs, then the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lr", type=float, default=0.1)
    parser.add_argument("--rpn-lr", default="0.02", help="null: the RPN is trained like the rest")
    parser.add_argument("--precision", choices=("fp32", "fp64"), default="fp32")
    parser.add_argument("--only", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.only:
        train(Path(args.only[0]), args.only[1] == "changed", args)
        return
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    with tempfile.TemporaryDirectory(prefix="adept-processes-") as place:
        folder = Path(place)
        write_photographs(folder / "photographs", 16)
        for name, launcher in (("one", []), ("changed", []), ("two", torchrun)):
            command = [sys.executable, *launcher, "-m", "benchmarks.pretrain_processes", "--only", place, name]
            more = ["--lr", str(args.lr), "--rpn-lr", args.rpn_lr, "--precision", args.precision]
            subprocess.run([*command, *more], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        print(f"{args.precision}, lr {args.lr:g}")
        for step in STEPS:
            one, changed, two = (
                torch.load(folder / f"{name}-{step}.pt", weights_only=True) for name in ("one", "changed", "two")
            )
            print(f"after step {step:2d}: two processes {apart(one, two):.1e}, one changed {apart(one, changed):.1e}")


def train(folder: Path, change: bool, args: argparse.Namespace) -> None:
    """Twenty steps, both networks written down after those of `STEPS`."""
    torch.set_num_threads(1)
    name = "two" if "RANK" in os.environ else "changed" if change else "one"
    done, real = 0, module.update_target

    def update(target: nn.Module, online: nn.Module, momentum: float) -> None:
        nonlocal done
        if change and done == 0:
            generator = torch.Generator().manual_seed(5)
            for parameter in online.parameters():
                parameter.data.mul_(1 + 6e-8 * torch.randn(parameter.shape, generator=generator))
        if done in STEPS and os.environ.get("RANK", "0") == "0":
            both = nn.ModuleDict({"online": online, "target": target}).state_dict()
            torch.save(both, folder / f"{name}-{done}.pt")
        done += 1
        real(target, online, momentum)  # type: ignore[arg-type]  # networks

    module.update_target = update  # type: ignore[assignment]  # the loop's own name for it
    settings = (
        "schedule.epochs=10.5", "engine.batch_size=8", f"engine.precision={args.precision}", f"optimizer.lr={args.lr}",
        f"optimizer.rpn_lr={args.rpn_lr}",
    )  # fmt: skip
    module.pretrain(tiny(*settings), open_images(folder / "photographs"), RandomBoxes(), folder / f"run-{name}")


def apart(one: dict[str, Any], two: dict[str, Any]) -> float:
    floats = {key: value for key, value in one.items() if value.is_floating_point()}
    return max(((value - two[key]).abs() / (1 + value.abs())).max().item() for key, value in floats.items())


if __name__ == "__main__":
    main()
