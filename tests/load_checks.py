"""A detector to load into, and what must hold of it afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import adept_hub
from adept_hub.errors import UnsupportedModelError
from adept_hub.models import assemble_detector
from tests.conftest import random_parts
from tests.test_load import torchvision_key


def mine(detector: str = "faster_rcnn") -> nn.Module:
    """A detector whose every tensor differs from the checkpoint's."""
    return assemble_detector(random_parts(seed=7), 5, detector)


def contents(model: nn.Module) -> dict[str, Tensor]:
    return {key: t.clone() for key, t in model.state_dict().items()}


def bits(tensor: Tensor) -> Tensor:
    """The same numbers in a dtype that every version of torch compares: float8 is compared since 2.6."""
    return tensor.view(torch.uint8) if tensor.dtype is torch.float8_e4m3fn else tensor


def assert_same(model: nn.Module, before: dict[str, Tensor]) -> None:
    now = model.state_dict()
    assert now.keys() == before.keys()
    changed = [key for key, t in before.items() if not torch.equal(bits(t), bits(now[key]))]
    assert not changed, f"{len(changed)} of {len(before)} tensors changed, first {changed[0]}"


def assert_loaded(
    model: nn.Module, parts: nn.Module, only: tuple[str, ...] = ("backbone", "fpn", "rpn", "head")
) -> None:
    state = model.state_dict()
    for key, tensor in parts.state_dict().items():
        if key.split(".")[0] in only:
            assert torch.equal(state[torchvision_key(key)], tensor.to(state[torchvision_key(key)].dtype)), key


def refused(model: nn.Module, folder: Path, message: str, **options: Any) -> None:
    before = contents(model)
    with pytest.raises(UnsupportedModelError, match=message) as caught:
        adept_hub.load_into(model, folder, **options)
    assert len(str(caught.value).splitlines()) == 2
    assert_same(model, before)
