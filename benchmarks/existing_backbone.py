"""What pre-training gains behind a backbone that is there already: frozen or not, moving average or frozen teacher.

``python -m benchmarks.existing_backbone --images TRAIN.txt --data coco:TRAIN.json:IMAGES coco:VAL.json:IMAGES
--labels 60 --out DIR`` takes the bundled weights' ResNet-18, saved as a torchvision file, as somebody's backbone;
pre-trains four times behind it on IMAGES, with the same number of steps; and compares the five starts on LABELS images
of DATA, at 200 and 1,000 iterations, five seeds each. What DIR holds is kept: run it again to continue. The rows are in
``DIR/compareN/runs.jsonl``.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
import torchvision

import adept_hub
import adept_training
from adept_training.comparing.result import Result

#: Recipe and settings of every arm.
ARMS = {
    "ema": ("own_photos_cpu", ()),
    "ema_frozen": ("own_photos_backbone", ()),
    "teacher": ("own_photos_teacher", ("method.freeze=none",)),
    "teacher_frozen": ("own_photos_teacher", ()),
}
PRETRAINING = ("views.sizes=[64,64,32]", "engine.batch_size=8", "engine.max_minutes=null", "engine.threads=1")
#: Small images, few boxes, bfloat16 and short statistics: fifty of these detectors are trained on a CPU.
FINETUNING = (
    "engine.batch_size=2", "engine.evaluations=1", "engine.precision=bf16", "optimizer.lr=0.08",
    "detector.train_sides=[128]", "detector.test_side=128", "detector.max_side=213", "detector.score_threshold=0.001",
    "detector.rois=16", "detector.test_proposals=50", "norms.precise_batches=20",
)  # fmt: skip
SEEDS = 5


def main() -> None:
    """Run what is lacking, and print the verdicts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", required=True, help="unlabeled images; none of the test set")
    parser.add_argument("--data", required=True, nargs="+", help="labeled images, as for adept compare")
    parser.add_argument("--labels", required=True, type=int, help="number of labeled images")
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--steps", type=int, default=200, help="of every pre-training (default 200)")
    parser.add_argument("--iterations", type=int, nargs="+", default=[200, 1000], help="of every fine-tuning")
    args = parser.parse_args()
    starts = {"backbone": str(backbone(args.out)), **pretrain(args.images, args.out, args.steps)}
    for iterations in args.iterations:
        result = compare(starts, args.data, args.labels, iterations, args.out / f"compare{iterations}")
        sys.stdout.write(f"{iterations} iterations\n" + "".join(f"  {line}\n" for line in result.summaries))


def backbone(out: Path) -> Path:
    """Write the bundled ResNet-18 as torchvision would, and return its path."""
    path = out / "resnet18.pth"
    if not path.exists():
        out.mkdir(parents=True, exist_ok=True)
        model = torchvision.models.resnet18()
        adept_hub.load_into(model, "adept_joint", parts=("backbone",))
        torch.save(model.state_dict(), path)
    return path


def pretrain(images: str, out: Path, steps: int) -> dict[str, str]:
    """Pre-train what is lacking behind `backbone`; return the arms' checkpoints by name."""
    boxes = out / "proposals"
    adept_training.propose(images, boxes, preset="objects")
    for name, (recipe, settings) in ARMS.items():
        if not (out / name / "export").exists():
            run = adept_training.pretrain(
                images, out / name, recipe=recipe, proposals=boxes, init=str(backbone(out)), stream=sys.stderr,
                resume=(out / name).exists(), settings=[*PRETRAINING, f"engine.max_steps={steps}", *settings],
            )  # fmt: skip
            if run.interrupted:
                sys.exit(130)
    return {name: str(out / name / "export") for name in ARMS}


def compare(starts: dict[str, str], data: list[str], labels: int, iterations: int, out: Path) -> Result:
    """Fine-tune every start from the same labels in the same order, seed by seed."""
    return adept_training.compare(
        [f"{name}={source}" for name, source in starts.items()], data, out, budgets=[f"{labels}img"], seeds=SEEDS,
        recipe="cpu_small", settings=[*FINETUNING, f"schedule.iterations={iterations}"],
    )  # fmt: skip


if __name__ == "__main__":
    main()
