"""Run a detector over a split: its detections and its RPN's proposals, from one pass.

Legend: D detections, K proposals.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN
from torchvision.models.detection.transform import resize_boxes

from adept_hub.detectors.detections import Detections, as_detections
from adept_training.labels.identity import ImageKey
from adept_training.labels.pixels import readable_pixels
from adept_training.labels.records import LabeledImage, Split
from adept_training.runtime.progress import track

#: Proposals per image that are kept for AR@1000.
PROPOSALS = 1000


@dataclass(frozen=True)
class ModelOutput:
    """Output of a detector for one image: class-agnostic proposals (label 1), best first, and its detections."""

    image: LabeledImage
    proposed: Detections
    #: None if the heads were not run.
    found: Detections | None


def predict(
    model: GeneralizedRCNN, split: Split, *, heads: bool = True
) -> tuple[dict[ImageKey, Detections], dict[ImageKey, Detections]]:
    """Return all detections and all proposals by image, some 50 kB per image; `predict_each` stores none.

    Args and raises as `predict_each`.
    """
    detections: dict[ImageKey, Detections] = {}
    proposed: dict[ImageKey, Detections] = {}
    for seen in predict_each(model, split, heads=heads):
        proposed[seen.image.key] = seen.proposed
        if seen.found is not None:
            detections[seen.image.key] = seen.found
    return detections, proposed


def predict_each(model: GeneralizedRCNN, split: Split, *, heads: bool = True) -> Iterator[ModelOutput]:
    """Yield the output for every image in turn.

    Images are processed one by one, so that no metric depends on padding to other images of a batch.

    Args:
        model: a torchvision two-stage detector; left in evaluation mode.
        heads: without them only the RPN is run (of a source, whose class predictor is new).

    Raises:
        DataError: an image cannot be read: counted as empty, it would silently lower every metric.
    """
    model.eval()
    with _more_proposals(model) as limit:
        for image in track(split.images, len(split.images), f"evaluating on {split.name}", " images"):
            yield _predict_image(model, image, limit if heads else None)


def predict_one(model: GeneralizedRCNN, image: LabeledImage) -> ModelOutput:
    """Return the output for one image, with the heads; raises as `predict_each`."""
    model.eval()
    with _more_proposals(model) as limit:
        return _predict_image(model, image, limit)


@torch.inference_mode()
def _predict_image(model: GeneralizedRCNN, image: LabeledImage, limit: int | None) -> ModelOutput:
    """Predict one image; the heads see the best ``limit`` proposals, or are not run."""
    device = next(model.parameters()).device
    pixels_HWC = readable_pixels(image)
    pixels_CHW = torch.from_numpy(np.ascontiguousarray(pixels_HWC.transpose(2, 0, 1))).to(device).float() / 255
    original = [(int(pixels_CHW.shape[1]), int(pixels_CHW.shape[2]))]
    batch, _ = model.transform([pixels_CHW])
    features = model.backbone(batch.tensors)
    boxes, _ = model.rpn(batch, features)
    full = resize_boxes(boxes[0], list(batch.image_sizes[0]), list(original[0]))
    # Sorted by score, without the scores; AR needs only the order.
    proposed = as_detections(full, torch.linspace(1, 0, len(full)), torch.ones(len(full)))
    if limit is None:
        return ModelOutput(image, proposed, None)
    rows, _ = model.roi_heads(features, [boxes[0][:limit]], batch.image_sizes)
    row = model.transform.postprocess(rows, batch.image_sizes, original)[0]
    return ModelOutput(image, proposed, as_detections(row["boxes"], row["scores"], row["labels"], row.get("masks")))


@contextmanager
def _more_proposals(model: GeneralizedRCNN) -> Iterator[int]:
    """Let the RPN return `PROPOSALS` boxes within the block; yield how many the heads are meant to see."""
    limits = (model.rpn._pre_nms_top_n, model.rpn._post_nms_top_n)
    before = [dict(limit) for limit in limits]
    for limit in limits:
        limit["testing"] = max(limit["testing"], PROPOSALS)
    try:
        yield before[1]["testing"]
    finally:
        for limit, values in zip(limits, before, strict=True):
            limit.update(values)
