"""Read the facts of a Detectron2 config or model."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from adept_hub.convert.facts import Config, Facts, merge, numbers, value
from adept_hub.convert.options import ANCHOR_STRIDES
from adept_hub.errors import CheckpointError
from adept_hub.io.config_files import read_plain_config, refuse_python

#: Detectron2's defaults (detectron2/config/defaults.py with its Base-RCNN-FPN.yaml) for the keys that are read here.
DETECTRON2_STOCK: Config = {
    "INPUT": {"FORMAT": "BGR"},
    "MODEL": {
        "PIXEL_MEAN": [103.53, 116.28, 123.675],
        "PIXEL_STD": [1.0, 1.0, 1.0],
        "BACKBONE": {"NAME": "build_resnet_fpn_backbone", "FREEZE_AT": 2},
        "RESNETS": {"DEPTH": 50, "NORM": "FrozenBN", "STRIDE_IN_1X1": True},
        "FPN": {"NORM": "", "OUT_CHANNELS": 256},
        "ANCHOR_GENERATOR": {"SIZES": [[32], [64], [128], [256], [512]], "ASPECT_RATIOS": [[0.5, 1.0, 2.0]]},
        "RPN": {"CONV_DIMS": [-1]},
        "ROI_BOX_HEAD": {
            "NUM_CONV": 0,
            "NUM_FC": 2,
            "CONV_DIM": 256,
            "FC_DIM": 1024,
            "NORM": "",
            "POOLER_TYPE": "ROIAlignV2",
            "POOLER_SAMPLING_RATIO": 0,
        },
    },
}


def detectron2_facts(config: Config) -> Facts:
    """Return the facts of a Detectron2 config (a nested mapping, ``_BASE_`` resolved); omitted keys have defaults."""
    whole = merge(DETECTRON2_STOCK, config)
    model = whole["MODEL"]
    head, sizes = model["ROI_BOX_HEAD"], value(model["ANCHOR_GENERATOR"]["SIZES"])
    return Facts(
        channel_order=str(whole["INPUT"]["FORMAT"]).lower(),
        mean=tuple(value(model["PIXEL_MEAN"])),
        std=tuple(value(model["PIXEL_STD"])),
        depth=model["RESNETS"]["DEPTH"],
        stride_in_1x1=model["RESNETS"]["STRIDE_IN_1X1"],
        backbone_norm=model["RESNETS"]["NORM"],
        frozen_stages=model["BACKBONE"]["FREEZE_AT"],
        fpn_norm=model["FPN"]["NORM"],
        fpn_channels=model["FPN"]["OUT_CHANNELS"],
        p6="pool" if model["BACKBONE"]["NAME"] == "build_resnet_fpn_backbone" else str(model["BACKBONE"]["NAME"]),
        rpn_convs=len(value(model["RPN"]["CONV_DIMS"])),
        rpn_softmax=False,
        # A single list applies to all levels.
        anchor_sizes=tuple(tuple(level) for level in (sizes if len(sizes) > 1 else sizes * len(ANCHOR_STRIDES))),
        anchor_ratios=tuple(value(model["ANCHOR_GENERATOR"]["ASPECT_RATIOS"])[0]),
        anchors_rounded=False,
        head_convs=head["NUM_CONV"],
        head_fcs=head["NUM_FC"],
        head_conv_channels=head["CONV_DIM"],
        head_fc_channels=head["FC_DIM"],
        head_norm=head["NORM"],
        roi_aligned=head["POOLER_TYPE"] == "ROIAlignV2",
        roi_sampling=head["POOLER_SAMPLING_RATIO"],
        p4_from=224.0,
    )


def read_config(path: Path, run_config: bool) -> Facts:  # YAML is never run
    """Read the facts of a YAML config with its bases.

    Raises:
        CheckpointError: the file is not a Detectron2 config.
    """
    data = read_plain_config(path, "_BASE_", refuse_python)
    if not {"MODEL", "INPUT", "SOLVER"} & set(data):
        raise CheckpointError(f"{path} is not a Detectron2 config: it has no MODEL.")
    return detectron2_facts(data)


def model_pixels(module: nn.Module) -> Facts | None:
    """Return mean, std and channel order of a detector; None for any other module."""
    if not hasattr(module, "pixel_mean"):
        return None
    order = getattr(module, "input_format", None)
    return Facts(order and str(order).lower(), numbers(module.pixel_mean), numbers(module.pixel_std))
