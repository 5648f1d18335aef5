"""A fine-tuned detector, predictors included, in another framework's own format.

The library exports the four parts; what is added here are the tensors that only a fine-tuned detector has. torchvision
counts the background as class 0 and gives it box deltas; Detectron2 and MMDetection put it last and give it none. All
three decode with the same weights (10, 10, 5, 5), so the deltas themselves are the same numbers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from adept_hub.atomic import atomic_file
from adept_hub.checkpoint import read_config, read_tensors
from adept_hub.convert.export import FILES, write_export
from adept_hub.convert.options import Framework, Target, check_framework
from adept_hub.errors import UnsupportedDetectorError
from adept_hub.schema import to_dict
from adept_training.downstream.detector import PREDICTORS, load_detector
from adept_training.downstream.recipe import DetectorRecipe

#: Of the box predictor: torchvision's name below ``box_predictor``, Detectron2's and MMDetection's.
_BOX = {
    "cls_score": ("roi_heads.box_predictor.cls_score", "roi_head.bbox_head.fc_cls"),
    "bbox_pred": ("roi_heads.box_predictor.bbox_pred", "roi_head.bbox_head.fc_reg"),
}


def deploy(folder: Path, framework: Framework, out: Path) -> list[Path]:
    """Write a fine-tuned detector for a framework: all its weights, and the config that agrees with them.

    Args:
        folder: of `adept_training.downstream.detector.save_detector`.
        framework: ``torchvision``, ``detectron2`` or ``mmdet``.
        out: the folder to write; must not exist, or be empty.

    Returns:
        The weights, the config, and classes.json: the classes in order, and `overrides` of the config.

    Raises:
        UnsupportedDetectorError: a Mask or Cascade R-CNN, or a cosine classifier, for another framework than
            torchvision.
        OutputExistsError, DiskFullError: about ``out``. CheckpointError: about ``folder``.
    """
    check_framework(framework)
    _, config = load_detector(folder)
    recipe = config.recipe
    if framework != "torchvision" and (recipe.detector != "faster_rcnn" or recipe.classifier != "linear"):
        raise UnsupportedDetectorError(
            f"{folder} is a {recipe.detector} with a {recipe.classifier} classifier; with its predictors only a linear "
            f"faster_rcnn is written for {framework}.\nIts four pre-trained parts can go: adept export {folder}"
        )
    checkpoint = read_config(folder)
    target = Target(detector=recipe.detector, num_classes=len(config.classes) + 1)
    written = write_export(read_tensors(folder, checkpoint), checkpoint, framework, out, target)
    _add(out / FILES[framework][0], framework, load_file(folder / PREDICTORS))
    labels = out / "classes.json"
    with atomic_file(labels) as temporary:
        content = {"classes": config.classes, "detector": to_dict(recipe), "overrides": overrides(framework, recipe)}
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return [*written, labels]


def overrides(framework: Framework, recipe: DetectorRecipe) -> dict[str, Any]:
    """What the framework's config must be told beside what the export says: the sizes and limits of testing."""
    if framework == "detectron2":
        return {
            "INPUT.MIN_SIZE_TEST": recipe.test_side, "INPUT.MAX_SIZE_TEST": recipe.max_side,
            "MODEL.RPN.POST_NMS_TOPK_TEST": recipe.test_proposals, "TEST.DETECTIONS_PER_IMAGE": recipe.detections,
            "MODEL.ROI_HEADS.SCORE_THRESH_TEST": recipe.score_threshold,
        }  # fmt: skip
    if framework == "mmdet":
        return {
            "test_dataloader.dataset.pipeline.1.scale": [recipe.max_side, recipe.test_side],
            "model.test_cfg.rpn.max_per_img": recipe.test_proposals,
            "model.test_cfg.rcnn.max_per_img": recipe.detections,
            "model.test_cfg.rcnn.score_thr": recipe.score_threshold,
        }
    return {
        "min_size": recipe.test_side, "max_size": recipe.max_side, "rpn_post_nms_top_n_test": recipe.test_proposals,
        "box_score_thresh": recipe.score_threshold, "box_detections_per_img": recipe.detections,
    }  # fmt: skip


def framework_predictors(framework: Framework, predictors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The predictors under a framework's names, its order of classes and its kinds of deltas.

    Args:
        predictors: torchvision's names below ``roi_heads``.
    """
    if framework == "torchvision":
        return {f"roi_heads.{key}": tensor for key, tensor in predictors.items()}
    renamed = {}
    for key, tensor in predictors.items():
        _, kind, field = key.split(".")
        # The background from first to last among the scores, and away among the deltas.
        moved = torch.cat([tensor[1:], tensor[:1]]) if kind == "cls_score" else tensor[4:]
        renamed[f"{_BOX[kind][framework == 'mmdet']}.{field}"] = moved.contiguous()
    return renamed


def _add(path: Path, framework: Framework, predictors: Mapping[str, Tensor]) -> None:
    added = framework_predictors(framework, predictors)
    with atomic_file(path) as temporary:
        if path.suffix == ".safetensors":
            save_file({**load_file(path), **added}, temporary, metadata={"format": "pt"})
            return
        content = torch.load(path, map_location="cpu", weights_only=True)
        for wrapper in ("model", "state_dict"):
            if wrapper in content:
                content[wrapper].update(added)
                break
        else:
            content.update(added)
        torch.save(content, temporary)
