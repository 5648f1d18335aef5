"""What a proposal table costs: bytes an image, and the time of a random look-up.

``python -m benchmarks.boxes.store TABLE`` for a folder that ``adept proposals`` left.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from pathlib import Path

from adept_training.proposals import ProposalTable


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table", type=Path)
    parser.add_argument("--lookups", type=int, default=100_000)
    args = parser.parse_args()
    table = ProposalTable.open(args.table)
    images = len(table)
    parquet = sum(path.stat().st_size for path in args.table.glob("*.parquet")) / images
    index = sum(path.stat().st_size for path in (args.table / "index").rglob("*") if path.is_file()) / images
    boxes = sum(len(table.boxes(key)) for key in table.keys()) / images  # noqa: SIM118 - a method, not a dict
    print(f"{images:,} images, {boxes:.1f} boxes an image")
    print(f"Parquet {parquet:.0f} bytes an image, index {index:.0f}")
    print(f"1.28 million such images: {parquet * 1.28e6 / 1e9:.2f} GB and {index * 1.28e6 / 1e9:.2f} GB")
    wanted = random.Random(0).choices(table.keys(), k=args.lookups)
    times = []
    for start in range(0, len(wanted), 1000):
        batch = wanted[start : start + 1000]
        before = time.perf_counter()
        for key in batch:
            table.boxes(key)
        times.append((time.perf_counter() - before) / len(batch))
    print(f"a random look-up of an image's boxes: median {statistics.median(times) * 1e6:.1f} microseconds")


if __name__ == "__main__":
    main()
