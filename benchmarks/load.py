"""load_pretrained against torchvision's own way of getting the same kind of detector, paired in one run.

``python -m benchmarks.load [--rounds N]`` writes a ResNet-50 checkpoint (values do not matter to the time), then
alternates:

  A  adept_hub.load_pretrained(folder, detector="mask_rcnn"), digest verified once before, as a cached one is
  B  torchvision's maskrcnn_resnet50_fpn(weights=None) + torch.load + load_state_dict

and prints the median of each and of the ratios B / A. Also the wall time of ``import adept_hub`` and ``adept list``.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torchvision.models.detection import maskrcnn_resnet50_fpn

import adept_hub
from adept_hub.checkpoint.folder import write_checkpoint
from adept_hub.models import DetectorParts
from adept_hub.spec import PARTS, DetectorSpec, Provenance


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as name:
        folder, pickled = Path(name) / "r50", Path(name) / "torchvision.pth"
        write_checkpoint(
            folder,
            DetectorParts(DetectorSpec(depth=50)).state_dict(),
            name="scratch_r50_fpn.benchmark",
            spec=DetectorSpec(depth=50),
            provenance=Provenance("scratch", "none", 0, 0.0, "none"),
            license="apache-2.0",
            parts=PARTS,
        )
        torch.save(maskrcnn_resnet50_fpn(weights=None, weights_backbone=None).state_dict(), pickled)

        def ours() -> None:
            adept_hub.load_pretrained(folder, detector="mask_rcnn")

        def theirs() -> None:
            model = maskrcnn_resnet50_fpn(weights=None, weights_backbone=None)
            model.load_state_dict(torch.load(pickled, weights_only=True, map_location="cpu"))

        ours(), theirs()
        pairs = [(_seconds(ours), _seconds(theirs)) for _ in range(rounds)]
    ratios = sorted(b / a for a, b in pairs)
    print(f"A load_pretrained (R50, mask_rcnn)         median {statistics.median(a for a, _ in pairs) * 1e3:7.1f} ms")
    print(f"B torchvision build + load                 median {statistics.median(b for _, b in pairs) * 1e3:7.1f} ms")
    spread = f"[{ratios[0]:.1f}..{ratios[-1]:.1f}]"
    print(f"B / A, {rounds} pairs                       median {statistics.median(ratios):7.1f}x {spread}")
    for what in (["-c", "import adept_hub"], ["-m", "adept_hub.cli.main", "list"], ["-c", "pass"]):
        times = sorted(_seconds(lambda what=what: _python(what)) for _ in range(rounds))
        print(f"python {' '.join(what):<34} median {statistics.median(times) * 1e3:7.1f} ms")


def _python(arguments: list[str]) -> None:
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)


def _seconds(call: Callable[[], None]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
