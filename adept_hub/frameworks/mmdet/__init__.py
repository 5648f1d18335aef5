"""MMDetection 3 as a `Framework`."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from adept_hub.convert.framework import Framework
from adept_hub.convert.options import ANCHOR_STRIDES
from adept_hub.frameworks.mmdet.config import anchor_scales, config_py
from adept_hub.frameworks.mmdet.facts import MMDET_STOCK, mmdet_facts, model_pixels, read_config
from adept_hub.frameworks.mmdet.keys import (
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
from adept_hub.frameworks.mmdet.remedies import REMEDIES


def _wrapped(state: Mapping[str, Tensor], classes: tuple[str, ...]) -> dict[str, Any]:
    # MMDetection's inference reads the class names from the weights file.
    return {"state_dict": dict(state), "meta": {"dataset_meta": {"classes": list(classes)}} if classes else {}}


MMDET = Framework(
    name="mmdet",
    body=BODY,
    head=HEAD,
    two_fc=TWO_FC,
    deep_rpn=DEEP_RPN,
    box_head="roi_head.bbox_head",
    fresh=FRESH,
    box_predictor=BOX_PREDICTOR,
    mask_head=MASK_HEAD,
    buffers=BUFFERS,
    background_first=False,
    layout=LAYOUT,
    patterns=PATTERNS,
    counted_norms=("backbone",),
    stock=mmdet_facts(MMDET_STOCK),
    config_suffixes=(".py", ".json", ".yaml", ".yml"),
    config_kind=".py",
    read_config=read_config,
    read_pixels=model_pixels,
    none_frozen=-1,
    pixel_scale=255,
    remedies=REMEDIES,
    anchor_setting=lambda sizes: f"{anchor_scales(sizes)}, strides={list(ANCHOR_STRIDES)}",
    weights_file="model.pth",
    config_file="config.py",
    write_config=lambda config, target, _, __, settings: config_py(config, target, settings),
    wrap=_wrapped,
    holds_source=False,
    next_steps=lambda out: f"Fine-tune: python tools/train.py {shlex.quote(str(out / 'config.py'))}",
)
