"""kill -9 at random moments of ``adept pretrain``, continued each time: the same bits at the end as undisturbed.

python -m benchmarks.pretrain_faults [--kills 5] [--photographs DIR] [--seed 0]

A small network, every step a checkpoint: whatever moment the kill finds (reading, the step itself, the checkpoint being
written), the next sitting begins at a whole step. A CPU, so that sums keep their order.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import yaml

from adept_training.images import open_images
from adept_training.proposals import run_proposals
from adept_training.runtime.state import saved_states

DATA = Path(__file__).parents[2] / "shared" / "data"
RECIPE = {
    "model": {"depth": 18, "fpn_channels": 16, "head_conv_channels": 16, "head_fc_channels": 32},
    "views": {"sizes": [64, 64, 32]},
    "method": {"projector_hidden": 64, "projection": 16},
    "optimizer": {"lr": 1.0, "rpn_lr": 0.02},
    "schedule": {"epochs": 6, "warmup_epochs": 1},
    "data": {"workers": 1, "held_out": 0},
    "engine": {"batch_size": 8, "precision": "fp32", "threads": 1, "log_every": 1, "probe_every": 0,
               "checkpoint_minutes": 0, "collapse_spread": 0},
}  # fmt: skip
IMAGES = 48


def state_of(run: Path) -> dict[str, torch.Tensor]:
    """Every tensor of a run's last checkpoint by its path."""
    found: dict[str, torch.Tensor] = {}

    def walk(value: object, path: str) -> None:
        if isinstance(value, torch.Tensor):
            found[path] = value
        elif isinstance(value, dict):
            for key, below in value.items():
                walk(below, f"{path}.{key}")

    walk(torch.load(saved_states(run / "checkpoints")[-1], weights_only=True), "")
    return found


def same_bits(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(value, two[key]) for key, value in one.items())


def steps_of(run: Path) -> int:
    """Return the last step in the log."""
    log = run / "log.jsonl"
    lines = log.read_text().splitlines() if log.is_file() else []
    steps = [record["step"] for record in map(json.loads, lines) if record["kind"] == "train"]
    return max(steps, default=0)


def command(folder: Path, out: Path, *more: str) -> list[str]:
    return [
        sys.executable, "-m", "adept_hub.cli.main", "pretrain", "--images", str(folder / "list.txt"),
        "--proposals", str(folder / "boxes"), "--recipe", str(folder / "recipe.yaml"), "--out", str(out), *more,
    ]  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--photographs", type=Path, default=DATA / "photos" / "imagenet1000")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rng = np.random.default_rng(args.seed)
    folder = Path(tempfile.mkdtemp(prefix="adept-faults-"))
    try:
        return 0 if kills(args.photographs, args.kills, rng, folder) else 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def kills(photographs: Path, count: int, rng: np.random.Generator, folder: Path) -> bool:
    names = open_images(photographs).keys()[:IMAGES]
    (folder / "list.txt").write_text("".join(f"{photographs / name}\n" for name in names))
    run_proposals(folder / "list.txt", folder / "boxes", workers=1)
    (folder / "recipe.yaml").write_text(yaml.safe_dump(RECIPE))
    began = time.perf_counter()
    subprocess.run(command(folder, folder / "undisturbed"), check=True, capture_output=True)
    seconds = time.perf_counter() - began
    expected = state_of(folder / "undisturbed")
    total = steps_of(folder / "undisturbed")
    moments = sorted(int(step) for step in rng.choice(np.arange(1, total), size=count, replace=False))
    out, resume = folder / "killed", []
    for step in moments:
        process = subprocess.Popen(
            command(folder, out, *resume), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        while steps_of(out) < step and process.poll() is None:
            time.sleep(0.005)
        time.sleep(float(rng.uniform(0, 2 * seconds / total)))
        process.kill()
        _, errors = process.communicate()
        states = saved_states(out / "checkpoints")
        if not states:
            print(f"  killed after step {step}: no checkpoint yet; {errors.strip()[-200:]}")
            return False
        print(f"  killed after step {step:2d} of {total}, {states[-1].name} is the last whole checkpoint", flush=True)
        resume = ["--resume"]
    subprocess.run(command(folder, out, *resume), check=True, capture_output=True)
    equal = same_bits(state_of(out), expected)
    verdict = "equal" if equal else "DIFFER FROM"
    print(
        f"kill -9 at {count} random steps of one run, resumed each time: {len(expected)} tensors of networks and "
        f"optimizer {verdict} the undisturbed run's, bit for bit ({seconds:.0f} s undisturbed)"
    )
    return equal


if __name__ == "__main__":
    sys.exit(main())
