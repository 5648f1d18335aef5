"""URL handler for ``load_from="adept://adept_joint"`` and ``init_cfg=dict(type="Pretrained", checkpoint=...)``.

It is registered in MMEngine when this module is imported, which a config can do:
``custom_imports = dict(imports=["adept_hub.integrations.mmdet"])``. The config must match the weights: start from that
of ``adept export``, or check your own with ``adept doctor``. For a Cascade R-CNN use
``adept://adept_joint#detector=cascade_rcnn``.

This module also registers the norm ``FrozenBN`` (torchvision's FrozenBatchNorm2d), which MMDetection supports only in
its backbone.
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
    """Load the checkpoint in MMEngine's format: ``state_dict`` and ``meta``."""
    found: dict[str, Any] = torch.load(cached_weights(filename, "mmdet"), map_location, weights_only=True)
    return found


MODELS.register_module(name="FrozenBN", module=FrozenBatchNorm2d, force=True)
