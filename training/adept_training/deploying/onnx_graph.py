"""Export a fine-tuned detector as one ONNX graph: an RGB image of any size in, detections in its pixels out.

The exporter is torch's older one, which traces: the newer one needs every shape to be known before the graph runs, and
the number of boxes after suppression is not. The graph takes a single image; a trace would make the number of images a
constant.

Legend: H x W of the image, R boxes, D detections.
"""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.onnx.operators import shape_as_tensor
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN
from torchvision.ops import clip_boxes_to_image

from adept_hub.errors import MissingExtraError
from adept_hub.io.write import atomic_file
from adept_hub.models.cascade import CascadeRoIHeads
from adept_hub.models.transform import AntialiasedTransform
from adept_training.finetuning.recipe import DetectorRecipe

#: The first opset whose RoiAlign can be aligned by half a pixel is 16.
OPSET = 17
OUTPUTS = ("boxes", "labels", "scores", "masks")


class OneImage(nn.Module):
    """A detector that takes one image instead of a list and returns a tuple instead of a dict."""

    def __init__(self, model: GeneralizedRCNN) -> None:
        super().__init__()
        self.model = model

    def forward(self, image_3HW: Tensor) -> tuple[Tensor, ...]:
        """Return ``boxes`` (D, 4), ``labels`` (D,), ``scores`` (D,) and, for Mask R-CNN, ``masks`` (D, 1, H, W)."""
        detections = self.model([image_3HW])[0]
        return tuple(detections[name] for name in OUTPUTS if name in detections)


class Divide(torch.autograd.Function):
    """A division in float64; the exporter's own goes through float32."""

    @staticmethod
    def forward(_: Any, above: Tensor, below: Tensor) -> Tensor:
        """Return ``above / below``."""
        return above / below

    @staticmethod
    def symbolic(graph: Any, above: Any, below: Any) -> Any:
        """Return the ONNX operator."""
        return graph.op("Div", above, below)


class OneImageTransform(AntialiasedTransform):
    """The detector's resizing to exactly the size that it has outside of a trace.

    In a trace torchvision multiplies in float32, which for some images, such as 427 x 640, gives another number of
    rows. Area averaging is two products with small matrices: the exporter has no antialiased resizing.
    """

    def resize(self, image: Tensor, target: Any = None) -> tuple[Tensor, Any]:
        """Resize an image (3, H, W) so that its shorter side is ``min_size`` or its longer one ``max_size``."""
        sides_2 = shape_as_tensor(image)[1:].double()
        limits_2 = torch.tensor([self.min_size[-1], self.max_size], dtype=torch.float64)
        scale = Divide.apply(limits_2, torch.stack([sides_2.min(), sides_2.max()])).min()
        rows, columns = (_averages(old, new) for old, new in zip(sides_2, (sides_2 * scale).floor(), strict=True))
        return rows.to(image.dtype) @ image @ columns.to(image.dtype).T, target


def _averages(old: Tensor, new: Tensor) -> Tensor:
    """Return float64 (new, old): the triangular weights by which PIL and torch resize a row without aliasing."""
    step = Divide.apply(old, new)
    distance_NO = (_centers(old)[None] - _centers(new)[:, None] * step).abs()
    weight_NO = (1 - Divide.apply(distance_NO, step.clamp(min=1))).clamp(min=0)
    average_NO: Tensor = Divide.apply(weight_NO, weight_NO.sum(dim=1, keepdim=True))
    return average_NO


def _centers(count: Tensor) -> Tensor:
    """Return float64 0.5, 1.5, ... of a tensor, which the trace does not make a constant."""
    return torch.arange(count.long(), dtype=torch.float64) + 0.5  # type: ignore[call-overload,no-any-return]  # see above


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
def write_graph(model: GeneralizedRCNN, recipe: DetectorRecipe, path: Path) -> None:
    """Write the graph: input ``image`` float32 (3, H, W), RGB in [0, 1]; outputs as `OneImage.forward`'s.

    Boxes are xyxy in pixels of that image, label i is the class i - 1, masks are probabilities in the whole image.
    Resizing and normalization are inside.

    Args:
        model: in evaluation mode, on the CPU; modified in place, so do not use it afterwards.

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
