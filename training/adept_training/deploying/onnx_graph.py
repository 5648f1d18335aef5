"""Export a fine-tuned detector as one ONNX graph: an RGB image of any size in, detections in its pixels out.

The exporter is torch's older one, which traces: the newer one needs every shape to be known before the graph runs, and
the number of boxes after suppression is not. The graph takes a single image; a trace would make the number of images a
constant.

Legend: H x W of the image, R boxes, D detections.
"""

from __future__ import annotations

import functools
import importlib.util
import warnings
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.onnx.operators import shape_as_tensor
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN
from torchvision.ops import clip_boxes_to_image

from adept_hub.detectors.recipe import DetectorRecipe
from adept_hub.errors import MissingExtraError
from adept_hub.io.write import atomic_file
from adept_hub.models.cascade import CascadeRoIHeads
from adept_hub.models.transform import AntialiasedTransform

#: The first opset whose RoiAlign can be aligned by half a pixel is 16.
OPSET = 17
OUTPUTS = ("boxes", "labels", "scores", "masks")
#: Sides of images for which sizes are exact: 2**24 / 1333 is 12,586.
_SIDES = 12_586


class OneImage(nn.Module):
    """A detector that takes one image instead of a list and returns a tuple instead of a dict."""

    def __init__(self, model: GeneralizedRCNN) -> None:
        super().__init__()
        self.model = model

    def forward(self, image_3HW: Tensor) -> tuple[Tensor, ...]:
        """Return ``boxes`` (D, 4), ``labels`` (D,), ``scores`` (D,) and, for Mask R-CNN, ``masks`` (D, 1, H, W)."""
        detections = self.model([image_3HW])[0]
        detections["labels"] = detections["labels"] - 1  # as classes.json and the metadata count
        return tuple(detections[name] for name in OUTPUTS if name in detections)


class OneImageTransform(AntialiasedTransform):
    """The detector's resizing, to exactly the size that it has outside of a trace, without float64.

    OpenVINO computes float64 in float32, and a size that is off by one moves every box. In float32 the products of two
    sides below 2**24 are exact, and by them the floor of their quotient. Area averaging is two products with small
    matrices: the exporter has no antialiased resizing.
    """

    def resize(self, image: Tensor, target: Any = None) -> tuple[Tensor, Any]:
        """Resize an image (3, H, W) so that its shorter side is ``min_size`` or its longer one ``max_size``."""
        sides_2 = shape_as_tensor(image)[1:].to(torch.float32)
        news_2 = _resized(sides_2, self.min_size[-1], self.max_size)
        rows, columns = (_averages(old, new) for old, new in zip(sides_2, news_2, strict=True))
        return rows.to(image.dtype) @ image @ columns.to(image.dtype).T, target


def _resized(sides_2: Tensor, shorter: int, longer: int) -> Tensor:
    """Return ``floor(side * min(shorter / least, longer / most))`` as float64 computes it, one less where it rounds."""
    least, most = sides_2.min(), sides_2.max()
    by_shorter = shorter * most <= longer * least
    below, place = torch.where(by_shorter, least, most), 1 - by_shorter.to(torch.int64)
    above_2 = sides_2 * torch.where(by_shorter, float(shorter), float(longer))
    nearest_2 = torch.floor(above_2 / below + 0.5)  # OpenVINO multiplies by the reciprocal: the last place may be off
    exact_2 = nearest_2 - (nearest_2 * below > above_2).to(torch.float32)
    lost_2S = torch.from_numpy(np.stack([_rounding(shorter), _rounding(longer)]))
    lost = lost_2S.flatten()[place * (_SIDES + 1) + below.clamp(max=_SIDES).to(torch.int64)]
    weights_K = torch.from_numpy(_significands(max(shorter, longer)))
    rounded_down_2 = (exact_2 * below == above_2) & (weights_K[exact_2.to(torch.int64)] * lost > 1)
    return exact_2 - rounded_down_2.to(torch.float32)


@functools.cache
def _rounding(limit: int) -> np.ndarray[Any, Any]:
    """Return float32 (S,): by how many halves of a last place float64 rounds ``limit / side`` down, 0 if up.

    Of its product with a side, an integer k where both are exact, float64 makes k - 1 if that, times `_significands`,
    exceeds 1.
    """
    lost = [0.0, *(float((1 - Fraction(limit / side) * side / limit) * 2**53) for side in range(1, _SIDES)), 0.0]
    return np.maximum(np.array(lost, np.float32), 0)


def _significands(most: int) -> np.ndarray[Any, Any]:
    """Return float32 (K,): k's significand in [1, 2); of a power of two 2, as numbers below it are twice as dense."""
    exponents = np.frexp(np.arange(most + 1, dtype=np.float32))[0] * 2
    return np.where(exponents == 1, 2, exponents).astype(np.float32)


def _averages(old: Tensor, new: Tensor) -> Tensor:
    """Return float32 (new, old): the triangular weights by which PIL and torch resize a row without aliasing."""
    distance_NO = (_centers(old)[None] * new - _centers(new)[:, None] * old).abs()
    weight_NO = (1 - distance_NO / (2 * torch.maximum(old, new))).clamp(min=0)
    return weight_NO / weight_NO.sum(dim=1, keepdim=True)


def _centers(count: Tensor) -> Tensor:
    """Return float32 1, 3, 5, ...: twice the centers of ``count`` pixels, which the trace does not make a constant."""
    return 2 * torch.arange(count.long(), dtype=torch.float32) + 1  # type: ignore[call-overload,no-any-return]


class OneImageCascade(nn.Module):
    """Cascade R-CNN's testing without splitting a batch, whose sizes a trace would make constants."""

    def __init__(self, heads: CascadeRoIHeads) -> None:
        super().__init__()
        self.heads = heads

    def forward(
        self, features: dict[str, Tensor], proposals: list[Tensor], shapes: list[tuple[int, int]], _: Any = None
    ) -> tuple[list[dict[str, Tensor]], dict[str, Tensor]]:
        """Run `CascadeRoIHeads.forward` for one image."""
        (boxes_R4,), scores_RC = proposals, []
        for stage in range(len(self.heads.box_head)):
            logits_RC, deltas_R4 = self.heads.run_stage(stage, features, [boxes_R4], shapes)
            scores_RC.append(logits_RC.softmax(dim=1))
            boxes_R4 = clip_boxes_to_image(self.heads.box_coders[stage].decode_single(deltas_R4, boxes_R4), shapes[0])
        return [self.heads.detections(boxes_R4, torch.stack(scores_RC).mean(dim=0))], {}


@torch.no_grad()
def write_graph(
    model: GeneralizedRCNN, recipe: DetectorRecipe, path: Path, facts: Mapping[str, str], batch: int | None = 0
) -> None:
    """Write the graph: input ``image`` float32 (3, H, W), RGB in [0, 1]; outputs as `OneImage.forward`'s.

    Boxes are xyxy in pixels of that image, labels are indices of classes, from 0, masks are probabilities in the
    whole image. Resizing and normalization are inside.

    Args:
        model: in evaluation mode, on the CPU; modified in place, so do not use it afterwards.
        recipe: of the detector.
        path: the file.
        facts: the graph's metadata.
        batch: 0 for a graph of one image; N or None, any number, for one with a batch, see `onnx_batch.with_batch`.

    Raises:
        MissingExtraError: onnx is not installed. DiskFullError: the file cannot be written.
    """
    if importlib.util.find_spec("onnx") is None:
        raise MissingExtraError("A deployment to ONNX", "onnx", "onnx")
    names = list(OUTPUTS if recipe.detector == "mask_rcnn" else OUTPUTS[:3])
    if recipe.detector == "cascade_rcnn":
        model.roi_heads = OneImageCascade(model.roi_heads)
    old = model.transform
    model.transform = OneImageTransform(old.min_size, old.max_size, old.image_mean, old.image_std, old.size_divisible)
    whole = OneImage(model).eval()
    image_3HW = torch.rand(3, recipe.test_side, recipe.test_side + 32)  # any size works
    axes = {"image": {1: "height", 2: "width"}} | {name: {0: "detections"} for name in names}
    if "masks" in names:
        axes["masks"] |= {2: "height", 3: "width"}
    with atomic_file(path) as temporary, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing warns about sizes, all of which are dynamic (see the tests)
        torch.onnx.export(
            whole, (image_3HW,), str(temporary), dynamo=False, opset_version=OPSET, input_names=["image"],
            output_names=names, dynamic_axes=axes,
        )  # fmt: skip
        import onnx

        from adept_training.deploying.onnx_batch import with_batch

        graph = onnx.load(str(temporary))
        graph = graph if batch == 0 else with_batch(graph, batch, recipe.detections)
        onnx.helper.set_model_props(graph, dict(facts))
        onnx.save(graph, str(temporary))
