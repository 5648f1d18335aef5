"""Pre-training as detection: all four parts by the detector's own losses, on boxes whose classes are clusters.

Legend: N images, K objects per image, R sampled boxes of all images, C classes with the background.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from adept_hub.spec import DetectorSpec, Preprocessing
from adept_training.data.cuts import detector_pixels
from adept_training.data.detector_view import DetectorBatch
from adept_training.data.loader import BoxBatch, Sealed
from adept_training.data.photometric import apply_colors
from adept_training.method.levels import assign_levels, pool_boxes
from adept_training.method.model import PretrainModel, StepOutput, summed
from adept_training.method.networks import PartsNetwork
from adept_training.method.proposals import propose
from adept_training.method.recipe import MethodRecipe
from adept_training.method.rois import RoIs, roi_losses, sample_rois
from adept_training.method.rpn import flatten_outputs, make_anchors, rpn_loss, valid_targets

#: Anchors of highest objectness that NMS chooses proposals from, per image.
_BEFORE_NMS = 1000


class BoxPredictor(nn.Module):
    """The last layers of a detector: class logits, and box deltas that all classes share."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        # Detectron2's initialization, as in `adept_hub.models.assemble_detector`.
        self.cls_score = nn.Linear(channels, classes + 1)
        self.bbox_pred = nn.Linear(channels, 4)
        for layer, std in ((self.cls_score, 0.01), (self.bbox_pred, 0.001)):
            nn.init.normal_(layer.weight, std=std)
            nn.init.zeros_(layer.bias)

    def forward(self, features_RD: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (R, C) and deltas (R, 4)."""
        return self.cls_score(features_RD), self.bbox_pred(features_RD)


class DetectorNetwork(PartsNetwork):
    """Detector parts and a box predictor."""

    def __init__(self, spec: DetectorSpec, classes: int) -> None:
        super().__init__(spec)
        self.predictor = BoxPredictor(spec.head_fc_channels, classes)

    def layers(self) -> list[nn.Module]:
        """Return backbone and FPN: the number of boxes in the RoI head differs from step to step."""
        return [self.parts.backbone, self.parts.fpn]


class Detection(PretrainModel):
    """The model of the method ``detection``.

    Args:
        images: number of training images.
        boxes: K.
        side: of the view, in pixels.
    """

    online: DetectorNetwork
    #: Pseudo-class of every object by image and rank, from 0. The loop sets it; it is part of the training state.
    classes_IK: Tensor

    def __init__(
        self,
        spec: DetectorSpec,
        recipe: MethodRecipe,
        images: int,
        boxes: int,
        side: int,
        preprocessing: Preprocessing | None = None,
    ) -> None:
        super().__init__(spec, recipe, preprocessing)
        self.side = side
        self.online = DetectorNetwork(spec, recipe.detection.pseudo_classes)
        for module in self.frozen():
            module.requires_grad_(False)
        self.register_buffer("classes_IK", torch.zeros(images, boxes, dtype=torch.uint8))

    def forward(self, sealed: DetectorBatch | Sealed[DetectorBatch]) -> StepOutput:
        """Compute the losses of one batch."""
        batch = sealed.batch if isinstance(sealed, Sealed) else sealed
        parts, recipe = self.online.parts, self.recipe
        view = batch.view
        feats = parts.pyramid(
            apply_colors(detector_pixels(batch, self.side), view.colors, self.preprocessing, view.plan or None)
        )
        logits_NA, deltas_NA4 = flatten_outputs(*parts.rpn_outputs(feats))
        anchors_LA4 = make_anchors(self.spec.anchors, feats)
        others = (batch.others.boxes_NK4, batch.others.real_NK)
        rpn = rpn_loss(
            logits_NA, deltas_NA4, anchors_LA4, batch.objects.boxes_NK4, batch.objects.real_NK, batch.seed_N,
            recipe.rpn, others,
        )  # fmt: skip
        rois = self._sample(batch, logits_NA.detach(), deltas_NA4.detach(), torch.cat(anchors_LA4))
        class_loss, box_loss, right = self._head_losses(feats, rois)
        objects_R = rois.class_R > 0
        terms = {
            "rpn_objectness": recipe.rpn.weight * rpn.objectness, "rpn_box": recipe.rpn.weight * rpn.box,
            "head_class": class_loss, "head_box": box_loss,
        }  # fmt: skip
        stats = {f"positives_p{i + 2}": value for i, value in enumerate(rpn.positives_L)}
        stats["anchors_ignored"] = rpn.ignored
        stats["head_objects"] = objects_R.sum() / len(batch.seed_N)
        stats["head_right"] = right
        return summed(terms, stats)

    def _sample(self, batch: DetectorBatch, logits_NA: Tensor, deltas_NA4: Tensor, anchors_A4: Tensor) -> RoIs:
        recipe = self.recipe.detection
        found = propose(logits_NA, deltas_NA4, anchors_A4, self.side, before=_BEFORE_NMS, after=recipe.proposals)
        valid_NK = valid_targets(batch.objects.boxes_NK4, batch.objects.real_NK, self.recipe.rpn)
        objects = BoxBatch(batch.objects.boxes_NK4, batch.objects.ids_NK, valid_NK)
        class_NK = self.classes_IK[batch.image_N[:, None], batch.objects.ids_NK].long() + 1
        return sample_rois(found, objects, class_NK, batch.others, batch.seed_N, recipe.rois)

    def _head_losses(self, feats_LNCHW: list[Tensor], rois: RoIs) -> tuple[Tensor, Tensor, Tensor]:
        """Return class and box losses, and the share of sampled objects whose class is predicted."""
        if empty := not len(rois.boxes_R4):
            # Every layer keeps a (zero) gradient, which DDP relies on.
            rois = RoIs(*(x.new_zeros((2, *x.shape[1:])) for x in rois))
        levels_R = assign_levels(rois.boxes_R4, self.spec.levels)
        pooled = pool_boxes(feats_LNCHW, rois.boxes_R4, rois.image_R, levels_R, self.side)
        features_RD = self.online.parts.head_features(pooled.contiguous(memory_format=torch.channels_last))
        logits_RC, deltas_R4 = self.online.predictor(features_RD)
        if empty:
            zero = 0 * (logits_RC.sum() + deltas_R4.sum())
            return zero, zero, zero.detach()
        objects_R = rois.class_R > 0
        right = (logits_RC.argmax(dim=1) == rois.class_R)[objects_R].sum() / objects_R.sum().clamp(min=1)
        return *roi_losses(logits_RC, deltas_R4, rois), right
