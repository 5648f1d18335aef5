"""In how many directions the RoI head's features of different boxes differ: of sources, and of random weights.

    python -m benchmarks.rank adept_joint runs/x/export --images PHOTOS --proposals BOXES

Prints the effective rank of each on the photographs that a pre-training would hold out, views of 96 pixels.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from adept_hub.checkpoint.folder import read_tensors
from adept_hub.hub.fetch import fetch
from adept_hub.models.parts import DetectorParts
from adept_hub.spec import Preprocessing
from adept_training.images import open_images
from adept_training.pretraining.watch.probe import load_held_out, split_keys
from adept_training.pretraining.watch.rank import head_rank
from adept_training.proposals import ProposalTable


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", nargs="+")
    parser.add_argument("--images", required=True)
    parser.add_argument("--proposals", required=True, type=Path)
    parser.add_argument("--side", type=int, default=96)
    args = parser.parse_args()
    source = open_images(args.images)
    _, keys = split_keys(source.keys(), 200)
    held = load_held_out(source, ProposalTable.open(args.proposals), keys, args.side, best=0)
    print(f"{len(held.boxes_M4)} photographs, {sum(map(len, held.boxes_M4))} boxes")
    random = {}
    for name in args.sources:
        found = fetch(name)
        spec = found.config.spec
        parts = DetectorParts(spec)
        torch.manual_seed(0)
        random[spec] = DetectorParts(spec)
        tensors = read_tensors(found.folder, found.config)
        missing = {key: value for key, value in parts.state_dict().items() if key.startswith("rpn.")}
        parts.load_state_dict(missing | tensors)
        print(f"{name}: {head_rank(parts, held, found.config.preprocessing):.1f}")
    for spec, parts in random.items():
        print(f"random, depth {spec.depth}, {spec.head_fc_channels} features: ", end="")
        print(f"{head_rank(parts, held, Preprocessing()):.1f}")


if __name__ == "__main__":
    main()
