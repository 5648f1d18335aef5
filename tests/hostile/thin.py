"""A ResNet-18 of an eighth of the channels: how wide it is changes nothing for a kill or a full disk, but its time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from torch import nn
from torchvision.models.resnet import BasicBlock, ResNet

from adept_hub.models import contract, parts
from adept_hub.spec import DetectorSpec
from tests.hostile.kills import LONG, adept

_STEM, _PART = 64, 8


class ThinResNet(ResNet):
    """torchvision's, whose widths are written into its constructor."""

    def __setattr__(self, name: str, value: Any) -> None:
        first = name == "inplanes" and "inplanes" not in self.__dict__
        super().__setattr__(name, value // _PART if first else value)

    def _make_layer(self, block: type[BasicBlock], planes: int, *options: Any, **more: Any) -> nn.Sequential:  # type: ignore[override]
        return super()._make_layer(block, planes // _PART, *options, **more)


def thin_resnet18(**options: Any) -> ResNet:
    options.pop("weights", None)
    return ThinResNet(BasicBlock, [2, 2, 2, 2], **options)


@contextlib.contextmanager
def thin_networks() -> Iterator[None]:
    """Build networks of depth 18 thin, in the short form; the long one has them as they are."""
    with pytest.MonkeyPatch.context() as patch:
        if not LONG:
            patch.setitem(parts._RESNETS, 18, thin_resnet18)
            patch.setattr(DetectorSpec, "stage_channels", tuple(_STEM // _PART * 2**i for i in range(4)))
        contract.expected_tensors.cache_clear()
        yield
    contract.expected_tensors.cache_clear()


def thin_adept(*words: str) -> int:
    """``adept WORDS`` with thin networks, for `tests.hostile.kills.run`."""
    with thin_networks():
        return adept(*words)
