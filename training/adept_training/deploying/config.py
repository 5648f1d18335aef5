"""Adapt an export's config to a fine-tuned detector: its anchors, and the sizes and limits of its testing."""

from __future__ import annotations

import inspect
import re

import yaml

from adept_hub.convert.options import Framework
from adept_hub.errors import CheckpointError
from adept_hub.io.read import parse_yaml
from adept_training.finetuning.detector import COSINE_SCALE, CosinePredictor, DetectorConfig
from adept_training.finetuning.recipe import DetectorRecipe


def finished_config(framework: Framework, text: str, config: DetectorConfig) -> str:
    """Return `adept_hub.convert.export.write_export`'s config with everything that testing depends on."""
    if framework == "detectron2":
        return _detectron2(text, config.recipe)
    return _mmdet(text, config.recipe) if framework == "mmdet" else _torchvision(text, config)


def _detectron2(text: str, recipe: DetectorRecipe) -> str:
    comments = "".join(line for line in text.splitlines(keepends=True) if line.startswith("#"))
    content = parse_yaml(text, "The export's config", CheckpointError)
    content["INPUT"] |= {"MIN_SIZE_TEST": recipe.test_side, "MAX_SIZE_TEST": recipe.max_side}
    content["MODEL"]["ANCHOR_GENERATOR"]["SIZES"] = [[size] for size in recipe.anchors]
    content["MODEL"]["RPN"]["POST_NMS_TOPK_TEST"] = recipe.test_proposals
    content["MODEL"]["ROI_HEADS"]["SCORE_THRESH_TEST"] = recipe.score_threshold
    content["TEST"]["DETECTIONS_PER_IMAGE"] = recipe.detections
    return comments + str(yaml.safe_dump(content, sort_keys=False))


def _mmdet(text: str, recipe: DetectorRecipe) -> str:
    return text + _MMDET.format(
        anchors=list(recipe.anchors), proposals=recipe.test_proposals,
        score=recipe.score_threshold, detections=recipe.detections, scale=(recipe.max_side, recipe.test_side),
    )  # fmt: skip


def _torchvision(text: str, config: DetectorConfig) -> str:
    recipe, cosine = config.recipe, config.recipe.classifier == "cosine"
    for old, new in (
        ("    from build_model import build_model\n    model = build_model(num_classes=3)   # background included; RGB",
         "    from build_model import build_detector\n    model = build_detector()   # RGB"),
        ("weights: Path | None = WEIGHTS)", "weights: Path | None = None)"),
        ("The detector with the pre-trained parts loaded; class, box and mask predictors are fresh.",
         "An untrained detector of this architecture, or with the parts of a file of weights loaded."),
    ):  # fmt: skip
        if old not in text:
            raise ValueError(f"the export's build_model.py no longer has {old!r}")
        text = text.replace(old, new)
    text = re.sub(r"(?m)^ANCHOR_SIZES = .*$", f"ANCHOR_SIZES = {tuple(recipe.anchors)}", text)
    kind = "MaskRCNN" if recipe.detector == "mask_rcnn" else "FasterRCNN"
    predictor = ""
    if cosine:
        text += f"\n\nCOSINE_SCALE = {COSINE_SCALE}\n\n\n{inspect.getsource(CosinePredictor)}"
        text = text.replace("functional.", "F.")
        predictor = _COSINE
    return text + _TORCHVISION.format(
        classes=config.classes, kind=kind, predictor=predictor, side=recipe.test_side, longest=recipe.max_side,
        proposals=recipe.test_proposals, score=recipe.score_threshold, detections=recipe.detections,
    )  # fmt: skip


_MMDET = """
# Of this fine-tuned detector: its anchors, and the sizes and limits that it was tested with.
model['rpn_head']['anchor_generator'].update(scales=[1], base_sizes={anchors})
model['test_cfg'] = dict(
    rpn=dict(nms_pre=1000, max_per_img={proposals}), rcnn=dict(score_thr={score}, max_per_img={detections}))
test_pipeline = _base_.test_pipeline
for step in test_pipeline:
    if step['type'] == 'Resize':
        step['scale'] = {scale}
        step['backend'] = 'pillow'  # averages over areas, as in training; OpenCV takes single pixels
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
"""

_COSINE = """\
    channels = model.roi_heads.box_predictor.cls_score.in_features
    model.roi_heads.box_predictor = CosinePredictor(channels, len(CLASSES) + 1)
"""

_TORCHVISION = """

#: Label i of a detection is CLASSES[i - 1].
CLASSES = {classes!r}


def build_detector() -> {kind}:
    \"\"\"The fine-tuned detector in evaluation mode, with the sizes and limits that it was tested with.\"\"\"
    model = build_model(len(CLASSES) + 1)
{predictor}    model.load_state_dict(load_file(WEIGHTS))
    model.transform.min_size, model.transform.max_size = ({side},), {longest}
    model.rpn._post_nms_top_n["testing"] = {proposals}
    model.roi_heads.score_thresh, model.roi_heads.detections_per_img = {score}, {detections}
    return model.eval()
"""
