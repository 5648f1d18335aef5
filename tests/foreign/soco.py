"""A file as SoCo's training writes it, from the tensors of a checkpoint."""

from __future__ import annotations

import torch

from tests.frameworks_support import (
    one_thread,  # noqa: F401  # an autouse fixture
)


def parts_of(tensors, *parts):
    return {k: t for k, t in tensors.items() if k.split(".")[0] in parts}


def soco_file(online, target):
    """A SoCo checkpoint's model, from the module names in its code."""
    state = {}
    for tensors, suffix in ((online, ""), (target, "_k")):
        for key, tensor in tensors.items():
            part, rest = key.split(".", 1)
            if part == "backbone":
                state[f"module.encoder{suffix}.{rest}"] = tensor
            elif part == "fpn":
                blocks, level, inside, leaf = rest.split(".")
                convs = {"inner_blocks": "lateral_convs", "layer_blocks": "fpn_convs"}[blocks]
                state[f"module.neck{suffix}.{convs}.{level}.{('conv', 'bn')[int(inside)]}.{leaf}"] = tensor
            elif part == "head":
                numbers, leaf = rest.rsplit(".", 1)
                block = numbers.split(".")
                name = "fc1" if block == ["5"] else f"{('conv', 'bn')[int(block[1])]}{int(block[0]) + 1}"
                state[f"module.head{suffix}.{name}.{leaf}"] = tensor
    for name in ("projector", "projector_k", "predictor"):
        state[f"module.{name}.linear1.weight"] = torch.ones(2, 2)
    return state
