"""Detectron2 as a `Framework`."""

from __future__ import annotations

import shlex

from adept_hub.convert.framework import Framework
from adept_hub.frameworks.detectron2.config import config_yaml
from adept_hub.frameworks.detectron2.facts import detectron2_facts, model_pixels, read_config
from adept_hub.frameworks.detectron2.keys import (
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
from adept_hub.frameworks.detectron2.remedies import REMEDIES

DETECTRON2 = Framework(
    name="detectron2",
    body=BODY,
    head=HEAD,
    two_fc=TWO_FC,
    deep_rpn=DEEP_RPN,
    box_head="roi_heads.box_head",
    fresh=FRESH,
    box_predictor=BOX_PREDICTOR,
    mask_head=MASK_HEAD,
    buffers=BUFFERS,
    background_first=False,
    layout=LAYOUT,
    patterns=PATTERNS,
    counted_norms=(),
    stock=detectron2_facts({}),
    config_suffixes=(".yaml", ".yml"),
    config_kind=".yaml",
    read_config=read_config,
    read_pixels=model_pixels,
    none_frozen=0,
    pixel_scale=255,
    remedies=REMEDIES,
    anchor_setting=lambda sizes: str([[size] for size in sizes]),
    weights_file="model.pth",
    config_file="config.yaml",
    write_config=lambda config, target, weights, _, settings: config_yaml(config, target, weights, settings),
    wrap=lambda state, _: {"model": dict(state)},
    holds_source=False,
    next_steps=lambda out: (
        f"Fine-tune: python tools/train_net.py --config-file {shlex.quote(str(out / 'config.yaml'))}"
    ),
)
