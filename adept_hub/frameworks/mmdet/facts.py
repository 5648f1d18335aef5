"""Read the facts of an MMDetection config or model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from adept_hub.convert.facts import IMAGENET_MEAN, IMAGENET_STD, Config, Facts, numbers
from adept_hub.convert.options import ANCHOR_STRIDES
from adept_hub.errors import CheckpointError
from adept_hub.io.config_files import read_plain_config, refuse_python
from adept_hub.io.paths import is_file, not_a

#: MMDetection 3's _base_/models/faster-rcnn_r50_fpn.py for the keys that are read here.
MMDET_STOCK: Config = {
    "data_preprocessor": {"mean": list(IMAGENET_MEAN), "std": list(IMAGENET_STD), "bgr_to_rgb": True},
    "backbone": {
        "depth": 50,
        "frozen_stages": 1,
        "norm_cfg": {"type": "BN", "requires_grad": True},
        "norm_eval": True,
        "style": "pytorch",
    },
    "neck": {"out_channels": 256, "num_outs": 5},
    "rpn_head": {"anchor_generator": {"scales": [8], "ratios": [0.5, 1.0, 2.0], "strides": list(ANCHOR_STRIDES)}},
    "roi_head": {
        "bbox_roi_extractor": {"roi_layer": {"type": "RoIAlign", "output_size": 7, "sampling_ratio": 0}},
        "bbox_head": {"type": "Shared2FCBBoxHead", "fc_out_channels": 1024},
    },
}


def mmdet_facts(model: Config) -> Facts:
    """Return the facts of the ``model`` of an MMDetection config; omitted keys have MMDetection's defaults."""
    pixels, body, neck = model["data_preprocessor"], model["backbone"], model["neck"]
    rpn, roi = model["rpn_head"], model["roi_head"]
    heads, extractors = roi["bbox_head"], roi["bbox_roi_extractor"]
    head = heads[0] if isinstance(heads, (list, tuple)) else heads
    extractor = extractors[0] if isinstance(extractors, (list, tuple)) else extractors
    generator, layer = rpn["anchor_generator"], extractor["roi_layer"]
    shared = {"Shared2FCBBoxHead": (0, 2), "Shared4Conv1FCBBoxHead": (4, 1)}.get(
        head["type"], (head.get("num_shared_convs", 0), head.get("num_shared_fcs", 0))
    )
    return Facts(
        channel_order="rgb" if pixels.get("bgr_to_rgb") else "bgr",
        mean=tuple(pixels.get("mean") or (0.0, 0.0, 0.0)),
        std=tuple(pixels.get("std") or (1.0, 1.0, 1.0)),
        depth=body.get("depth"),
        stride_in_1x1=body.get("style", "pytorch") == "caffe",
        backbone_norm=_mmdet_norm(body.get("norm_cfg", {"type": "BN", "requires_grad": True})),
        frozen_stages=body.get("frozen_stages", -1),
        norm_eval=body.get("norm_eval", True),
        fpn_norm=_mmdet_norm(neck.get("norm_cfg")),
        fpn_channels=neck.get("out_channels"),
        p6="conv" if neck.get("add_extra_convs") else "pool",
        rpn_convs=rpn.get("num_convs", 1),
        rpn_softmax=not rpn.get("loss_cls", {"use_sigmoid": True}).get("use_sigmoid", False),
        anchor_sizes=_mmdet_sizes(generator),
        anchor_ratios=tuple(generator["ratios"]),
        anchors_rounded=False,
        head_convs=shared[0],
        head_fcs=shared[1],
        head_conv_channels=head.get("conv_out_channels", 256),
        head_fc_channels=head.get("fc_out_channels", 1024),
        head_norm=_mmdet_norm(head.get("norm_cfg")),
        roi_aligned=layer.get("aligned", True),
        roi_sampling=layer.get("sampling_ratio", 0),
        p4_from=4.0 * extractor.get("finest_scale", 56),
    )


def _mmdet_norm(norm: Config | None) -> str:
    if not norm:
        return ""
    return str(norm["type"]) if norm.get("requires_grad", True) else "FrozenBN"


def _mmdet_sizes(generator: Config) -> tuple[tuple[float, ...], ...]:
    strides = generator["strides"]
    bases = generator.get("base_sizes") or strides
    scales = generator.get("scales")
    if scales is None:
        octave, count = generator.get("octave_base_scale", 8), generator.get("scales_per_octave", 1)
        scales = [octave * 2 ** (i / count) for i in range(count)]
    return tuple(tuple(float(base * scale) for scale in scales) for base in bases)


def read_config(path: Path, run_config: bool) -> Facts:
    """Read the facts of a config with its bases; a Python file is executed only with ``run_config``.

    Raises:
        CheckpointError: the config is not that of a two-stage detector with a neck.
    """
    config = read_plain_config(path, "_base_", _run_mmengine if run_config else refuse_python)
    model = config.get("model")
    if not isinstance(model, Mapping) or "roi_head" not in model or "neck" not in model:
        raise CheckpointError(f"{path} does not configure a two-stage detector with a neck.")
    return mmdet_facts(model)


def _run_mmengine(path: Path) -> Config:
    try:
        from mmengine.config import Config as MMConfig
    except ModuleNotFoundError as error:
        raise CheckpointError(
            f"{path} is a Python config, which needs mmengine, but mmengine is not installed.\n"
            "Run adept doctor where you train, or install it: pip install mmengine"
        ) from error
    if not is_file(path):
        raise CheckpointError(not_a("a config file", path))
    try:
        found: Config = MMConfig.fromfile(str(path)).to_dict()
    except Exception as error:  # the file is a program, which may raise anything
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(f"{path} cannot be run: {type(error).__name__}: {reason}") from error
    return found


def model_pixels(module: nn.Module) -> Facts | None:
    """Return mean, std and channel order of a detector; None for any other module."""
    if not hasattr(module, "data_preprocessor"):
        return None
    pixels: Any = module.data_preprocessor
    order = "rgb" if getattr(pixels, "_channel_conversion", False) else None
    if not getattr(pixels, "_enable_normalize", False):
        return Facts(order)
    return Facts(order, numbers(pixels.mean), numbers(pixels.std))
