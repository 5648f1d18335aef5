"""Other projects' names of a ResNet, each by a rule of its own on torchvision's name: no table of the library is used.

The rules were held against the projects' own classes (docs/frameworks.md, "Checked against").
"""

from __future__ import annotations

import re

#: Places in torchvision's ResNet as a sequence of its children.
_CHILDREN = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4")
#: Places in the sequence of a bottleneck of SimCLRv2-Pytorch; norms are followed by their ReLU, in a pair.
_INSIDE = {"conv1": "0", "bn1": "1.0", "conv2": "2", "bn2": "3.0", "conv3": "4", "bn3": "5.0"}


def plain(key: str) -> str:
    """torchvision, timm, byol-convert, simclr-converter, extracted DenseCL."""
    return key


def vissl(key: str) -> str:
    """VISSL, ``vissl/models/trunks/resnext.py``: a ModuleDict of torchvision's children."""
    return f"_feature_blocks.{key}"


def byol_pytorch(key: str) -> str:
    """yaox12/BYOL-PyTorch, ``model/basic_modules.py``: a Sequential of torchvision's children."""
    child, _, rest = key.partition(".")
    return f"module.online_network.encoder.{_CHILDREN.index(child)}.{rest}"


def simclr_v2(key: str) -> str:
    """Separius/SimCLRv2-Pytorch, ``resnet.py``."""
    module, leaf = key.rsplit(".", 1)
    if module in ("conv1", "bn1"):
        return {"conv1": "net.0.0", "bn1": "net.0.1.0"}[module] + f".{leaf}"
    stage, block, inside = module.removeprefix("layer").split(".", 2)
    shortcut = {"downsample.0": "projection.shortcut", "downsample.1": "projection.bn.0"}
    return f"net.{stage}.blocks.{block}.{shortcut.get(inside) or f'net.{_INSIDE[inside]}'}.{leaf}"


def detectron2(key: str) -> str:
    """``convert-pretrain-to-detectron2.py`` of MoCo and DetCo: one text replacement after the other."""
    key = key if "layer" in key else f"stem.{key}"
    key = re.sub(r"layer(\d)", lambda m: f"res{int(m[1]) + 1}", key)
    key = re.sub(r"bn(\d)", r"conv\1.norm", key)
    return re.sub(r"downsample\.(\d)", lambda m: ("shortcut", "shortcut.norm")[int(m[1])], key)
