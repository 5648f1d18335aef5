"""`adept_hub.load_detector` works where only the library's own requirements are installed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

import adept_hub
import adept_training
from adept_hub.detectors.folder import DetectorConfig
from adept_hub.detectors.recipe import DetectorRecipe
from adept_training.finetuning.detector import build_detector, save_detector

#: What the trainer needs beyond the library's requirements and what those require themselves.
BLOCKED = ("adept_training", "cv2", "lightning_fabric", "matplotlib", "numba", "pyarrow", "pycocotools", "scipy")
CODE = f"""
import json, sys
for name in {BLOCKED!r}:
    sys.modules[name] = None
import adept_hub
assert "torch" not in sys.modules
(one,) = adept_hub.load_detector(sys.argv[1], device="cpu").predict([sys.argv[2]], score=0.0)
one.plot()
json.dump([one.boxes_D4.tolist(), one.class_names, [mask["counts"].decode() for mask in one.masks]], sys.stdout)
"""


def test_without_the_trainer(tmp_path: Path, make_checkpoint: Any) -> None:
    recipe = DetectorRecipe(
        detector="mask_rcnn", test_side=64, max_side=96, test_proposals=20, score_threshold=0.0, detections=5,
        anchors=(12.0, 16.0, 24.0, 32.0, 48.0), classifier="cosine",
    )  # fmt: skip
    folder, config, _ = make_checkpoint()
    model = build_detector(str(folder), 2, recipe, 3)
    torch.nn.init.normal_(model.roi_heads.box_predictor.cls_score.weight)
    save_detector(tmp_path / "run" / "best", model, DetectorConfig("x", ("ä", "b"), recipe, 1, {}), config.spec, None)
    Image.fromarray(np.random.default_rng(2).integers(0, 255, (40, 70, 3), np.uint8)).save(tmp_path / "a.png")
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(tmp_path / "run"), str(tmp_path / "a.png")],
        check=True, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    boxes_D4, names, masks = json.loads(done.stdout)
    (one,) = adept_hub.load_detector(tmp_path / "run", device="cpu").predict([tmp_path / "a.png"], score=0.0)
    assert one.masks is not None
    assert len(boxes_D4) == len(one) == 5
    np.testing.assert_allclose(boxes_D4, one.boxes_D4, atol=1e-3)
    assert (names, masks) == (one.class_names, [mask["counts"].decode() for mask in one.masks])


def test_the_trainer_s_call_is_the_library_s() -> None:
    assert adept_training.load_detector is adept_hub.load_detector
