"""``load_from="adept://adept_joint"`` and ``init_cfg=dict(type="Pretrained", checkpoint=...)`` in MMEngine.

They work once this module has been imported, which a config does by itself:
``custom_imports = dict(imports=["adept_hub.integrations.mmdet"])``. Weights are half of the matter: begin with the
config of ``adept export``, or ask ``adept doctor`` about your own. A Cascade R-CNN wants
``adept://adept_joint#detector=cascade_rcnn``.

It also registers the norm ``FrozenBN`` (torchvision's FrozenBatchNorm2d), which MMDetection lacks outside its backbone.
"""

from __future__ import annotations

from typing import Any

import torch
from mmengine.registry import MODELS
from mmengine.runner.checkpoint import CheckpointLoader
from torchvision.ops import FrozenBatchNorm2d

from adept_hub.arguments.calls import checked
from adept_hub.integrations.url_handler import PREFIX, cached_weights


@CheckpointLoader.register_scheme(prefixes=PREFIX, force=True)  # type: ignore[untyped-decorator]  # mmengine is untyped
@checked
def load_from_adept(filename: str, map_location: Any = None) -> dict[str, Any]:
    """The checkpoint as MMEngine expects it: ``state_dict`` and ``meta``."""
    found: dict[str, Any] = torch.load(cached_weights(filename, "mmdet"), map_location, weights_only=True)
    return found


MODELS.register_module(name="FrozenBN", module=FrozenBatchNorm2d, force=True)
