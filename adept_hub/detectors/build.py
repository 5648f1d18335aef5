"""Build a detector from its parts and its settings; its predictors are random until they are trained or loaded."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from adept_hub.detectors.recipe import DetectorRecipe

#: Scale of the logits of the cosine classifier.
COSINE_SCALE = 20.0


class CosinePredictor(nn.Module):
    """Class logits by cosine similarity times 20, without a background prior (TFA), and linear box deltas."""

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.cls_score = nn.Linear(channels, num_classes, bias=False)
        self.bbox_pred = nn.Linear(channels, num_classes * 4)

    def forward(self, features_KC: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (K, classes) and deltas (K, 4 * classes)."""
        features_KC = features_KC.flatten(start_dim=1)
        weight = functional.normalize(self.cls_score.weight, dim=1)
        logits = COSINE_SCALE * functional.linear(functional.normalize(features_KC, dim=1), weight)
        return logits, self.bbox_pred(features_KC)


def detector_options(recipe: DetectorRecipe) -> dict[str, Any]:
    """Return the options of `adept_hub.models.assemble_detector` that a recipe sets."""
    return {
        "anchor_sizes": recipe.anchors,
        # The last side is the test side; `training_sides` inserts the training sides before it.
        "min_size": (recipe.test_side,), "max_size": recipe.max_side,
        "rpn_batch_size_per_image": recipe.rpn_anchors, "box_batch_size_per_image": recipe.rois,
        "rpn_pre_nms_top_n_train": 2000, "rpn_post_nms_top_n_train": recipe.train_proposals,
        "rpn_pre_nms_top_n_test": 1000, "rpn_post_nms_top_n_test": recipe.test_proposals,
        "box_score_thresh": recipe.score_threshold, "box_detections_per_img": recipe.detections,
    }  # fmt: skip


def use_classifier(model: GeneralizedRCNN, recipe: DetectorRecipe, classes: int) -> None:
    """Replace the box predictor of a model for ``classes`` classes, background not counted, by the recipe's."""
    if recipe.classifier == "cosine" and recipe.detector != "cascade_rcnn":  # Cascade R-CNN has three predictors
        channels = model.roi_heads.box_predictor.cls_score.in_features
        model.roi_heads.box_predictor = CosinePredictor(channels, classes + 1)


def predictor_state(model: GeneralizedRCNN) -> dict[str, Tensor]:
    """Return all other tensors by torchvision's names below ``roi_heads``: predictors, mask head, later heads."""
    head = "box_head.0." if isinstance(model.roi_heads.box_head, nn.ModuleList) else "box_head."
    return {key: t for key, t in model.roi_heads.state_dict().items() if not key.startswith(head)}
