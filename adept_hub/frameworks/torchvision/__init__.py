"""torchvision as a `Framework`."""

from __future__ import annotations

from pathlib import Path

from adept_hub.convert.facts import Facts
from adept_hub.convert.framework import Framework
from adept_hub.errors import CheckpointError
from adept_hub.frameworks.torchvision.config import build_model_py
from adept_hub.frameworks.torchvision.facts import TORCHVISION_STOCK, model_pixels
from adept_hub.frameworks.torchvision.keys import (
    BODY,
    BOX_PREDICTOR,
    BUFFERS,
    DEEP_RPN,
    FRESH,
    HEAD,
    LAYOUT,
    MASK_HEAD,
    PATTERNS,
    TWO_FC,
)
from adept_hub.frameworks.torchvision.remedies import REMEDIES


def _no_config(path: Path, run_config: bool) -> Facts:  # the signature of every framework's reader
    raise CheckpointError(f"{path} is not a config of torchvision, which has no config files.")


TORCHVISION = Framework(
    name="torchvision",
    body=BODY,
    head=HEAD,
    two_fc=TWO_FC,
    deep_rpn=DEEP_RPN,
    box_head="roi_heads.box_head",
    fresh=FRESH,
    box_predictor=BOX_PREDICTOR,
    mask_head=MASK_HEAD,
    buffers=BUFFERS,
    background_first=True,
    layout=LAYOUT,
    patterns=PATTERNS,
    counted_norms=(),
    stock=TORCHVISION_STOCK,
    config_suffixes=(),
    config_kind="none (torchvision has no config files)",
    read_config=_no_config,
    read_pixels=model_pixels,
    none_frozen=0,
    pixel_scale=1,
    remedies=REMEDIES,
    anchor_setting=str,
    weights_file="model.safetensors",
    config_file="build_model.py",
    write_config=lambda config, target, _, parts, settings: build_model_py(config, target, parts, settings),
    wrap=lambda state, _: dict(state),
    holds_source=True,
    next_steps=lambda out: (
        f"In Python, from inside {out}: from build_model import build_model; model = build_model(num_classes=3)"
    ),
)
