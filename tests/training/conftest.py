"""A data set that can be learned in seconds: dark rectangles on gray, in VOC's format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

#: A recipe small enough for a test; one thread, since the machine may be busy.
TINY = [
    "detector.train_sides=[64]", "detector.test_side=64", "detector.max_side=96", "detector.rois=32",
    "detector.rpn_anchors=64", "detector.train_proposals=100", "detector.test_proposals=50",
    "detector.anchors=[16,24,32,48,64]", "schedule.iterations=6", "engine.batch_size=2", "engine.workers=0",
    "engine.threads=1", "engine.evaluations=2", "engine.log_every=1", "norms.precise_batches=2",
]  # fmt: skip


def write_voc(folder: Path, images: int = 8, seed: int = 0) -> Path:
    """``images`` pictures of 80 x 64 in each of train, val and test, with one or two rectangles of two classes."""
    rng = np.random.default_rng(seed)
    for part in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for name in ("train", "val", "test"):
        stems = [f"{name}{i}" for i in range(images)]
        (folder / "ImageSets" / "Main" / f"{name}.txt").write_text("\n".join(stems))
        for stem in stems:
            pixels = rng.integers(110, 140, (64, 80, 3)).astype(np.uint8)
            objects = ""
            for side in range(int(rng.integers(1, 3))):
                x, y = int(rng.integers(1, 14)) + 40 * side, int(rng.integers(1, 30))
                w, h = int(rng.integers(14, 24)), int(rng.integers(14, 30))
                color = int(rng.integers(0, 2))
                pixels[y : y + h, x : x + w] = (220, 30, 30) if color else (20, 40, 200)
                corners = "".join(
                    f"<{k}>{v}</{k}>" for k, v in (("xmin", x + 1), ("ymin", y + 1), ("xmax", x + w), ("ymax", y + h))
                )
                objects += f"<object><name>{('blue', 'red')[color]}</name><bndbox>{corners}</bndbox></object>"
            Image.fromarray(pixels).save(folder / "JPEGImages" / f"{stem}.png")
            size = "<size><width>80</width><height>64</height></size>"
            (folder / "Annotations" / f"{stem}.xml").write_text(f"<annotation>{size}{objects}</annotation>")
    return folder


@pytest.fixture
def voc(tmp_path: Path) -> Path:
    return write_voc(tmp_path / "voc")
