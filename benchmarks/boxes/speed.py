"""Selective search against its reference and OpenCV, in one run on the same photographs; scaling and memory.

    python -m benchmarks.boxes.speed [--photographs DIR] [--count 15] [--memory 5000] [--scaling 400]

CPU time of this process (so that other load on the machine counts less than with a clock), medians over photographs,
and the median of the ratios photograph by photograph. Scaling is by the clock: it needs two idle processors.
"""

from __future__ import annotations

import argparse
import gc
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import selectivesearch
from PIL import Image

from adept_training.images import FileImages, decode, open_images
from adept_training.proposals import get_preset, run_proposals, selective_search
from adept_training.proposals.propose import propose

DATA = Path(__file__).parents[3] / "shared" / "data"
TARGETS = {"selectivesearch 0.4": (18, 30), "OpenCV, the paper's parameters": (4, 8)}


def reference(image: np.ndarray) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return len(selectivesearch.selective_search(image, scale=500, sigma=0.9, min_size=10)[1])


def opencv(image: np.ndarray) -> int:
    """One graph segmentation with the paper's parameters, color + texture + size + fill."""
    lib = cv2.ximgproc.segmentation
    search = lib.createSelectiveSearchSegmentation()
    search.setBaseImage(np.ascontiguousarray(image[:, :, ::-1]))
    search.addImage(np.ascontiguousarray(image[:, :, ::-1]))
    search.addGraphSegmentation(lib.createGraphSegmentation(0.9, 500, 10))
    parts = [
        getattr(lib, f"createSelectiveSearchSegmentationStrategy{part}")()
        for part in ("Color", "Texture", "Size", "Fill")
    ]
    search.addStrategy(lib.createSelectiveSearchSegmentationStrategyMultiple(*parts))
    return len(search.process())


def cpu_ms(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return 1000 * (time.process_time() - start)


def compare(images: list[np.ndarray], repeats: int) -> None:
    engines: dict[str, Callable[[np.ndarray], int]] = {
        "paper": lambda image: len(selective_search(image, "paper")),
        "selectivesearch 0.4": reference,
        "OpenCV, the paper's parameters": opencv,
        "soco": lambda image: len(selective_search(image, "soco")),
        "fixed": lambda image: len(selective_search(image, "fixed")),
        "opencv-fast": lambda image: len(selective_search(image, "opencv-fast")),
    }
    for engine in engines.values():
        engine(images[0])  # compiling and importing are not counted
    times: dict[str, list[float]] = {name: [] for name in engines}
    for image in images:
        for name, engine in engines.items():
            again = repeats if name in ("paper", "soco", "fixed") else 1
            times[name].append(float(np.median([cpu_ms(lambda: engine(image)) for _ in range(again)])))  # noqa: B023
    ours = np.array(times["paper"])
    print(f"\n{len(images)} photographs, median {np.median([i.shape[0] * i.shape[1] for i in images]):,.0f} pixels")
    print(f"{'':32}{'CPU ms, median':>16}{'ratio to paper':>16}{'least':>8}{'most':>8}")
    for name, values in times.items():
        ratio = np.array(values) / ours
        print(f"{name:32}{np.median(values):16.1f}{np.median(ratio):16.1f}{ratio.min():8.1f}{ratio.max():8.1f}")
    for name, (target, stretch) in TARGETS.items():
        ratio = float(np.median(np.array(times[name]) / ours))
        grade = "stretch met" if ratio >= stretch else "target met" if ratio >= target else "MISSED"
        print(f"  {name}: {ratio:.1f}x, target {target}x, stretch {stretch}x: {grade}")
    core_hours = 1.28e6 * np.median(ours) / 3.6e6
    print(f"  1.28 million such photographs: {core_hours:.1f} core-hours")


def scaling(source: FileImages, count: int) -> None:
    part = source.subset(source.keys()[:: max(1, len(source.keys()) // count)][:count])
    seconds = {}
    for workers in (1, 2):
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            run_proposals(part, Path(folder) / "table", workers=workers)
            seconds[workers] = time.perf_counter() - start
    print(
        f"\n{count} photographs, whole runs by the clock: {seconds[1]:.1f} s with one worker, {seconds[2]:.1f} s with"
    )
    print(f"two (starting them included): {seconds[1] / seconds[2]:.2f}x, target 1.7x on an idle machine")


def memory(source: FileImages, count: int) -> None:
    keys = source.keys()
    keys = [keys[i % len(keys)] for i in range(count)]
    preset = get_preset("paper")
    resident = []
    for first in range(0, count, 100):
        propose(source.subset(keys[first : first + 100]), preset)
        gc.collect()
        resident.append(_resident_mb())
    grown = resident[-1] - resident[0]
    print(f"\n{count} photographs in one process: {resident[0]:.0f} MB resident after the first 100, at most")
    print(f"{max(resident):.0f} MB, {resident[-1]:.0f} MB at the end: {grown:+.0f} MB, target below 50 MB")


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def bundled(folder: Path) -> FileImages:
    """Photographs inside scikit-image, at 500 x 375 pixels, for machines without a folder of photographs."""
    import skimage.data

    names = ("astronaut", "coffee", "chelsea", "rocket", "immunohistochemistry", "hubble_deep_field", "retina")
    for name in names:
        Image.fromarray(getattr(skimage.data, name)()).convert("RGB").resize((500, 375)).save(folder / f"{name}.png")
    source = open_images(folder)
    assert isinstance(source, FileImages)
    return source


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photographs", type=Path, default=DATA / "coco256", help="for the comparison")
    parser.add_argument("--many", type=Path, default=DATA / "photos", help="for scaling and memory")
    parser.add_argument("--count", type=int, default=15)
    parser.add_argument("--repeats", type=int, default=3, help="of our own presets on each photograph")
    parser.add_argument("--scaling", type=int, default=400, metavar="N", help="photographs; 0: not measured")
    parser.add_argument("--memory", type=int, default=5000, metavar="N", help="photographs; 0: not measured")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        if not args.photographs.is_dir():
            print(f"{args.photographs} is not here: photographs of scikit-image instead")
            args.photographs = args.many = Path(folder)
            bundled(Path(folder))
        source, many = open_images(args.photographs), open_images(args.many)
        assert isinstance(source, FileImages)
        assert isinstance(many, FileImages)
        decoded = (decode(source.read(key), key) for key in source.keys())  # noqa: SIM118
        # The size that selective search is usually timed on, where the folder has enough of it.
        images = [image for image in decoded if sorted(image.shape[:2]) == [375, 500]][: args.count]
        if len(images) < min(args.count, 5):
            keys = source.keys()[:: max(1, len(source.keys()) // args.count)][: args.count]
            images = [decode(source.read(key), key) for key in keys]
        compare(images, args.repeats)
        if args.scaling:
            scaling(many, args.scaling)
        if args.memory:
            memory(many, args.memory)


if __name__ == "__main__":
    main()
