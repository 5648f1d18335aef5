"""Inference settings of a fine-tuned detector for the configs of all frameworks."""

from __future__ import annotations

import inspect

from adept_hub.convert.framework import InferenceSettings
from adept_training.finetuning.detector import COSINE_SCALE, CosinePredictor, DetectorConfig


def inference_settings(config: DetectorConfig) -> InferenceSettings:
    """Return everything that testing depends on and an export's config does not state."""
    recipe = config.recipe
    return InferenceSettings(
        classes=config.classes,
        masks=recipe.detector == "mask_rcnn",
        anchors=tuple(recipe.anchors),
        side=recipe.test_side,
        longest=recipe.max_side,
        proposals=recipe.test_proposals,
        score=recipe.score_threshold,
        detections=recipe.detections,
        predictor=_cosine_predictor() if recipe.classifier == "cosine" else ("", ""),
    )


def _cosine_predictor() -> tuple[str, str]:
    source = inspect.getsource(CosinePredictor).replace("functional.", "F.")
    return f"\n\nCOSINE_SCALE = {COSINE_SCALE}\n\n\n{source}", _COSINE


_COSINE = """\
    channels = model.roi_heads.box_predictor.cls_score.in_features
    model.roi_heads.box_predictor = CosinePredictor(channels, len(CLASSES) + 1)
"""
