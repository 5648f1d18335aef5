"""What a run of ``adept proposals`` survives: kill -9 at random moments, and thousands of damaged files.

python -m benchmarks.boxes.faults [--kills 10] [--fuzz 10000] [--photographs DIR] [--seed 0]
"""

from __future__ import annotations

import argparse
import hashlib
import io
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image

from adept_training.images import open_images
from adept_training.proposals import ProposalTable, run_proposals

DATA = Path(__file__).parents[3] / "shared" / "data"
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF")


def content_of(folder: Path) -> dict[str, str]:
    """Digests of everything in a table except its index, which is derived."""
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir()) if p.is_file()}


def kills(photographs: Path, count: int, rng: np.random.Generator, folder: Path) -> bool:
    listing = folder / "list.txt"
    names = open_images(photographs).keys()[:240]
    listing.write_text("".join(f"{photographs / name}\n" for name in names))

    def command(out: Path) -> list[str]:
        options = ["--shard-size", "16", "--workers", "2", "--quiet"]
        return [str(Path(sys.executable).parent / "adept"), "proposals", str(listing), "--out", str(out), *options]

    start = time.perf_counter()
    subprocess.run(command(folder / "undisturbed"), check=True, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - start
    expected = content_of(folder / "undisturbed")
    equal = 0
    for number in range(count):
        out = folder / f"killed-{number}"
        moment = float(rng.uniform(0, seconds))
        process = subprocess.Popen(command(out), stdout=subprocess.DEVNULL)
        time.sleep(moment)
        process.kill()
        process.wait()
        shards = len(list(out.glob("part-*.parquet"))) if out.is_dir() else 0
        subprocess.run(command(out), check=True, stdout=subprocess.DEVNULL)
        same = content_of(out) == expected
        equal += same
        print(f"  killed after {moment:4.1f} s with {shards:2d} shards finished: {'equal' if same else 'DIFFERENT'}")
    print(f"kill -9: {equal} of {count} tables equal the undisturbed one, byte for byte ({seconds:.1f} s undisturbed)")
    return equal == count


def damaged_files(count: int, rng: np.random.Generator, folder: Path) -> None:
    """Write files: a third random bytes (half of them after a real header), a third truncated, a third modified."""
    photograph = Image.fromarray(skimage.data.astronaut()[60:156, 160:288])
    seeds = []
    for kind in FORMATS:
        buffer = io.BytesIO()
        photograph.save(buffer, kind)
        seeds.append((kind, buffer.getvalue()))
    for number in range(count):
        kind, content = seeds[number % len(seeds)]
        damaged = bytearray(content)
        if number % 3 == 0:
            keep = int(rng.integers(0, 64)) * (number % 2)
            damaged = damaged[:keep] + rng.bytes(int(rng.integers(0, 4000)))
        elif number % 3 == 1:
            damaged = damaged[: int(rng.integers(0, len(damaged)))]
        else:
            # Half of the changes within the first bytes, where sizes and offsets stand.
            upper = 200 if number % 2 else len(damaged)
            for place in rng.integers(0, upper, int(rng.integers(1, 20))):
                damaged[place] = int(rng.integers(0, 256))
        (folder / f"{number:05d}.{'jpg' if kind == 'JPEG' else 'png'}").write_bytes(bytes(damaged))


def fuzz(count: int, rng: np.random.Generator, folder: Path) -> bool:
    (folder / "damaged").mkdir()
    damaged_files(count, rng, folder / "damaged")
    start = time.perf_counter()
    report = run_proposals(folder / "damaged", folder / "table", workers=2)
    seconds = time.perf_counter() - start
    listed = set(ProposalTable.open(folder / "table").keys())
    lines = (folder / "table" / "unreadable.jsonl").read_text().splitlines()
    complete = len(listed) + len(lines) == count
    print(
        f"fuzz: {count} files in {seconds:.0f} s: {report.images} still are images, {report.unreadable} unreadable and"
    )
    print(f"listed; {'every one accounted for' if complete else 'SOME LOST'}, no crash, no hang")
    return complete


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--fuzz", type=int, default=10_000)
    parser.add_argument("--photographs", type=Path, default=DATA / "photos" / "imagenet1000")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rng = np.random.default_rng(args.seed)
    folder = Path(tempfile.mkdtemp(prefix="adept-faults-"))
    try:
        fine = fuzz(args.fuzz, rng, folder) if args.fuzz else True
        return 0 if (kills(args.photographs, args.kills, rng, folder) if args.kills else True) and fine else 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
