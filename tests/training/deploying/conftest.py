"""A detector with loud random predictors, for every way to deploy it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import adept_training
from adept_hub.checkpoint.folder import read_config, write_checkpoint
from adept_hub.detectors.folder import DetectorConfig
from adept_hub.spec import PARTS, Preprocessing, Provenance
from adept_training.finetuning.detector import build_detector, save_detector, spec_of
from adept_training.finetuning.recipe import load_finetune_recipe
from tests.frameworks_support import SMALL, random_tensors
from tests.training.conftest import TINY

DETECTORS = ("faster_rcnn", "mask_rcnn", "cascade_rcnn")
PHOTOS = Path(adept_training.__file__).parent / "photographs"
#: No recipe's defaults, so that every one of them must have arrived for the frameworks to agree.
UNUSUAL = ["detector.test_side=96", "detector.max_side=160", "detector.detections=37",
           "detector.score_threshold=0.11", "detector.anchors=[20,40,60,80,120]"]  # fmt: skip


@pytest.fixture
def tune(tmp_path: Path):
    """A factory of detectors of three classes with loud random predictors, as if they had been trained."""
    source = tmp_path / "source"
    write_checkpoint(
        source, random_tensors(SMALL), name="adept_joint_r18_fpn32.test", spec=SMALL, license="apache-2.0", parts=PARTS,
        provenance=Provenance("adept_joint", "random numbers", 1, 1.0, "target"),
        preprocessing=Preprocessing(mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6)),
    )  # fmt: skip

    def make(detector: str = "faster_rcnn", classifier: str = "linear", proposals: int = 60) -> Path:
        settings = [*TINY, *UNUSUAL, f"detector.detector={detector}", f"detector.classifier={classifier}"]
        settings += [f"detector.test_proposals={proposals}"]
        recipe = load_finetune_recipe(None, settings).detector
        model = build_detector(str(source), 3, recipe, seed=0)
        generator = torch.Generator().manual_seed(21)
        with torch.no_grad():
            for key, tensor in model.roi_heads.state_dict().items():
                if key.endswith("running_var"):
                    tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
                elif "predictor" in key or "mask_head" in key or "box_head.1" in key or "box_head.2" in key:
                    # Boxes stay near their proposals, and every class has a chance.
                    scale = 0.05 if "bbox_pred" in key else 0.3 if "cls_score" in key else 1.0
                    if tensor.is_floating_point():
                        noise = torch.randn(tensor.shape, generator=generator)
                        tensor.copy_(noise * scale * max(1, tensor[0].numel()) ** -0.5)
        config = DetectorConfig(str(source), ("a", "b's", "c"), recipe, 1, {})
        save_detector(tmp_path / "best", model, config, spec_of(str(source)), read_config(source))
        return tmp_path / "best"

    return make
