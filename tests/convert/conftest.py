"""Checkpoints with random tensors, for every test of the conversion layer."""

from __future__ import annotations

import pytest
import torch
from frameworks_support import random_tensors

from adept_hub.spec import DetectorSpec

SMALL = DetectorSpec(depth=18, fpn_channels=32, head_conv_channels=24, head_fc_channels=40)
LARGE = DetectorSpec(depth=50)


@pytest.fixture(autouse=True)
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def small():
    return SMALL, random_tensors(SMALL)


@pytest.fixture(scope="session")
def large():
    return LARGE, random_tensors(LARGE)
