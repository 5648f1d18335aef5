"""Inference settings of a fine-tuned detector for the configs of all frameworks, and for ONNX's metadata."""

from __future__ import annotations

import inspect
import json

from adept_hub import __version__
from adept_hub.convert.framework import InferenceSettings
from adept_hub.detectors.build import COSINE_SCALE, CosinePredictor
from adept_hub.detectors.folder import DetectorConfig
from adept_hub.detectors.onnx_predictor import FORMAT
from adept_hub.spec import CheckpointConfig


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


def graph_facts(checkpoint: CheckpointConfig, config: DetectorConfig) -> dict[str, str]:
    """Return the metadata of a graph, for programs that run it: classes, input, limits, license and digests."""
    recipe, pixels = config.recipe, checkpoint.preprocessing
    return {
        "format": FORMAT,
        "classes": json.dumps(config.classes),
        "labels": "indices of classes, from 0",
        "input": "RGB float32 in [0, 1] of any size; the graph resizes and normalizes",
        "boxes": "x1, y1, x2, y2 in pixels of the input; right and bottom edges exclusive",
        "detector": recipe.detector,
        "test_side": str(recipe.test_side),
        "max_side": str(recipe.max_side),
        "mean": json.dumps(pixels.mean),
        "std": json.dumps(pixels.std),
        "score_threshold": repr(recipe.score_threshold),
        "detections": str(recipe.detections),
        "name": checkpoint.name,
        "license": checkpoint.license,
        "sha256": checkpoint.sha256,
        "predictors_sha256": config.predictors_sha256,
        "adept_hub": __version__,
    }


def _cosine_predictor() -> tuple[str, str]:
    source = inspect.getsource(CosinePredictor).replace("functional.", "F.")
    return f"\n\nCOSINE_SCALE = {COSINE_SCALE}\n\n\n{source}", _COSINE


_COSINE = """\
    channels = model.roi_heads.box_predictor.cls_score.in_features
    model.roi_heads.box_predictor = CosinePredictor(channels, len(CLASSES) + 1)
"""
