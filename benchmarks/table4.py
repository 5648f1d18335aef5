"""The four rows of the paper's Table 4 in small, from one seed, and their curves on one page.

    python -m benchmarks.table4 --images PHOTOS --proposals BOXES --out runs/table4

A row is two switches, taken from the shipped recipes: whether the RPN's loss reaches FPN and backbone (det+RPN), and
whether the RPN's own best boxes join selective search's in the contrast (SS+RPN). Everything else is alike: a ResNet-18
with an FPN of 64 channels on views of 64, 64 and 32 pixels, batches of 8, the collapse not stopped but recorded. A
signal saves; the same command goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from adept_training.images import ImageSource, open_images
from adept_training.pretraining.asked import Asked
from adept_training.pretraining.pretrain import pretrain
from adept_training.pretraining.recipe import Recipe, load_recipe
from adept_training.pretraining.watch.log import read_log
from adept_training.pretraining.watch.report import figures, write_report
from adept_training.proposals import ProposalTable
from adept_training.runtime.state import saved_states

ROWS = ("det_ss", "detrpn_ssrpn", "det_ssrpn", "detrpn_ss")
SMALL = (
    "views.sizes=[64,64,32]", "model.fpn_channels=64", "model.head_conv_channels=64", "model.head_fc_channels=256",
    "method.projector_hidden=1024", "method.projection=128", "method.momentum=0.99", "data.held_out=40",
    "engine.precision=fp32", "engine.max_minutes=null", "engine.collapse_spread=0", "engine.checkpoint_minutes=2",
)  # fmt: skip


def recipe_of(row: str, images: int, steps: int, batch: int) -> Recipe:
    """Return the small recipe with the two switches of the bundled ``table4_<row>``."""
    method = load_recipe(f"table4_{row}").method
    # The held-out photographs are not among an epoch's.
    epochs = steps / ((images - min(40, images // 20)) // batch)
    return load_recipe(
        "adept_joint_r18_fpn128_cpu",
        (
            *SMALL, f"method.boxes={method.boxes}", f"export.tag=table4_{row}", f"engine.batch_size={batch}",
            f"method.rpn.reaches_backbone={str(method.rpn.reaches_backbone).lower()}",
            f"schedule.epochs={epochs!r}", f"schedule.warmup_epochs={epochs / 10!r}",
            f"engine.probe_every={steps // 4}",
        ),
    )  # fmt: skip


def run_row(row: str, source: ImageSource, table: ProposalTable, folder: Path, steps: int, batch: int) -> bool:
    """Run one row to its end, or on from where it was; false when a signal ended it."""
    if (folder / "export").is_dir():
        return True
    recipe = recipe_of(row, len(source.keys()), steps, batch)
    resume = bool(saved_states(folder / "checkpoints"))
    outcome = pretrain(recipe, source, table, folder, resume=resume, stream=sys.stderr, asked=Asked(report=False))
    return not outcome.interrupted


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", required=True)
    parser.add_argument("--proposals", required=True, type=Path)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--batch", type=int, default=8)
    args = parser.parse_args()
    source, table = open_images(args.images), ProposalTable.open(args.proposals)
    done = all(run_row(row, source, table, args.out / row, args.steps, args.batch) for row in ROWS)
    folders = [args.out / row for row in ROWS if (args.out / row / "log.jsonl").is_file()]
    write_report(folders, args.out / "report.html")
    logs = [read_log(folder) for folder in folders]
    print(
        json.dumps({log.folder.name: {"state": log.state, "steps": log.step, **figures(log)} for log in logs}, indent=2)
    )
    return 0 if done else 130


if __name__ == "__main__":
    sys.exit(main())
