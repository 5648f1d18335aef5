"""Build a torchvision detector and fill it with the parts of a checkpoint."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from adept_hub.convert.options import Anchors, Detector, Target
from adept_hub.convert.plan import plan_for_model
from adept_hub.convert.regressor import without_regressor
from adept_hub.convert.rescale_anchors import rescale_anchors
from adept_hub.frameworks.recognize import recognize
from adept_hub.hub.fetch import Fetched
from adept_hub.load_report import LoadReport
from adept_hub.loading.account import part_rows
from adept_hub.loading.promise import promised_parts, promised_tensors
from adept_hub.loading.transfer import plainly, verify
from adept_hub.models import DetectorParts, assemble_detector
from adept_hub.models.contract import BOX_REGRESSOR
from adept_hub.models.options import DetectorOptions
from adept_hub.models.skeleton import skeleton
from adept_hub.models.wrapped import own_tensors
from adept_hub.spec import PARTS, DetectorSpec


def load_fetched(
    fetched: Fetched,
    spec: DetectorSpec,
    num_classes: int,
    detector: Detector,
    parts: str | Iterable[str],
    anchors: Anchors,
    options: DetectorOptions,
) -> GeneralizedRCNN:
    """Load a detector as `load_pretrained`, of an architecture that may differ where ``parts`` do not determine it.

    Args:
        fetched: the checkpoint.
        spec: that of the checkpoint, or what `adept_hub.models.determined.completed` returns.

    For the other arguments and errors see `load_pretrained`.
    """
    promised = promised_parts(parts, fetched.config)
    sizes = tuple(options.setdefault("anchor_sizes", Target(anchors=anchors).anchor_sizes(spec)))
    with plainly():
        tensors = values = promised_tensors(fetched, promised)
        if anchors == "rescaled" and "rpn" in promised:
            values = rescale_anchors(tensors, spec, sizes)
        module = _filled_parts(spec, values, promised)
        model = assemble_detector(module, num_classes, detector, fetched.config.preprocessing, **options)
        if any(parameter.dtype != torch.float32 for parameter in model.parameters()):
            model.float()  # predictors created under another default dtype
        state = {name: own.tensor for name, own in own_tensors(model).items()}
        recognized = recognize(state)
        plan = plan_for_model(recognized, state, values, spec, promised)
        for step in plan:
            if step.source in BOX_REGRESSOR:  # the others are in the parts already
                state[step.target].copy_(step.tensor)
        held = verify(model, plan)
        model.load_report = LoadReport(
            fetched.origin,
            fetched.config.name,
            tuple(part_rows(model, held, tensors, "predictors", recognized)),
            license=fetched.config.license,
        )
    model.checkpoint_config = fetched.config
    return model


def _filled_parts(spec: DetectorSpec, tensors: Mapping[str, Tensor], promised: tuple[str, ...]) -> DetectorParts:
    """Build the parts and assign the tensors without a copy; modules whose tensors are replaced are not initialized."""
    with skeleton() if promised == PARTS else contextlib.nullcontext():
        module = DetectorParts(spec)
    for part in promised:
        prefix = f"{part}."
        state = {key.removeprefix(prefix): t for key, t in without_regressor(tensors).items() if key.startswith(prefix)}
        module.get_submodule(part).load_state_dict(state, strict=True, assign=True)
    return module
