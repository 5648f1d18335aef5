"""A supervised ResNet, as most projects name its tensors."""

from __future__ import annotations

import pytest
import torch
from torchvision.models import resnet50

from tests.frameworks_support import (
    one_thread,  # noqa: F401  # an autouse fixture
)


@pytest.fixture(scope="module")
def resnet():
    """torchvision's names and shapes; each tensor holds a number of its own, in one element."""
    with torch.device("meta"):
        shapes = {key: tensor.shape for key, tensor in resnet50().state_dict().items() if not key.startswith("fc.")}
    state = {}
    for number, (key, shape) in enumerate(shapes.items(), 1):
        state[key] = torch.tensor(number) if key.endswith("tracked") else torch.zeros(shape)
        state[key].view(-1)[0] = number
    return state
