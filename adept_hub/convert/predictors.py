"""Convert fine-tuned detectors between frameworks with their predictors: class order, background, masks, stages.

The intermediate form follows Detectron2 and MMDetection: the background is the last class of the classifier and has no
box deltas and no mask. In torchvision it is always the first class; its deltas and mask of the background are never
read, and are set to zero on conversion to torchvision.

Legend: K classes without the background.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from adept_hub.arguments.calls import checked
from adept_hub.convert.framework import Framework
from adept_hub.convert.keymap import KeyRow, KeyTable
from adept_hub.convert.options import CASCADE_STAGES, Detector
from adept_hub.errors import IncompleteLoadError
from adept_hub.spec import DetectorSpec


@checked
def convert_detector(
    state: Mapping[str, Tensor], source: Framework, target: Framework, detector: Detector = "faster_rcnn"
) -> dict[str, Tensor]:
    """Convert the complete state dict of a fine-tuned detector to another framework's names, with its predictors.

    The detector must have the architecture of an export (ResNet-FPN; an RPN of one or two convolutions; a RoI head of
    four convolutions and a fully connected layer, or of two such layers). Classes
    keep their order; a label in torchvision is larger by 1 than in Detectron2 and MMDetection.

    Args:
        state: all tensors of the detector.
        source: the framework whose names it has.
        target: the framework whose names it will have.
        detector: the kind of detector.

    Raises:
        UnknownKeyError: a key that such a detector does not have.
        IncompleteLoadError: the state has no predictors, so it is not a fine-tuned detector.
        UnsupportedDetectorError: the detector is not supported.
    """
    spec = source.read_shape({key: tuple(t.shape) for key, t in state.items()})
    tensors = _table(source, detector, spec).to_canonical(state)
    predictors = [key for key in tensors if key.rsplit(".", 1)[0].endswith((".cls", ".box"))]
    if len(predictors) != 4 * (CASCADE_STAGES if detector == "cascade_rcnn" else 1):
        raise IncompleteLoadError(
            f"The state has {len(predictors)} tensors of box predictors: it is not a complete fine-tuned detector.\n"
            "For pre-trained parts without predictors use adept_hub.convert.export.import_state."
        )
    if source.background_first and not target.background_first:
        tensors = {key: _background_last(key, t, detector) for key, t in tensors.items()}
    if target.background_first and not source.background_first:
        tensors = {key: _background_first(key, t, detector) for key, t in tensors.items()}
    return _table(target, detector, spec).to_target(tensors)


def _table(framework: Framework, detector: Detector, spec: DetectorSpec) -> KeyTable:
    """Return the key table with predictors, and with a separate name for each stage's head."""
    table = framework.key_table(detector, spec)
    rows = [row for row in table.rows if not row.canonical.startswith("head.")]
    heads = [row for row in table.rows if row.canonical.startswith("head.")]
    cascade = detector == "cascade_rcnn"
    stages = CASCADE_STAGES if cascade else 1
    per_stage = len(heads) // stages
    for stage in range(stages):
        head = heads[stage * per_stage : (stage + 1) * per_stage]
        rows += [row._replace(canonical=f"stage{stage}.{row.canonical}") for row in head]
        infix = f".{stage}" if cascade else ""
        for kind, name, inside in framework.box_predictor:
            rows.append(KeyRow(kind, f"stage{stage}.{name}", inside.format(stage=infix)))
    if detector == "mask_rcnn":
        rows += framework.mask_head
    return KeyTable(framework.name, tuple(rows), framework.buffers)


def _classwise(key: str, detector: Detector) -> int:
    """Return the number of rows per class in a predictor's tensor; 0 for a class-agnostic tensor."""
    module = key.rsplit(".", 1)[0]
    if module.endswith(".cls") or module == "mask.logits":
        return 1
    # Cascade's boxes are class-agnostic.
    return 4 if module.endswith(".box") and detector != "cascade_rcnn" else 0


def _background_last(key: str, tensor: Tensor, detector: Detector) -> Tensor:
    rows = _classwise(key, detector)
    if not rows:
        return tensor
    return tensor.roll(-1, 0) if ".cls." in key else tensor[rows:]


def _background_first(key: str, tensor: Tensor, detector: Detector) -> Tensor:
    rows = _classwise(key, detector)
    if not rows:
        return tensor
    return tensor.roll(1, 0) if ".cls." in key else torch.cat([torch.zeros_like(tensor[:rows]), tensor])
