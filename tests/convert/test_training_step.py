"""One step of each framework's own training, on an exported detector: losses finite, every pre-trained weight moves."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from adept_hub.convert.export import write_export
from adept_hub.convert.options import Target
from adept_hub.frameworks import FRAMEWORKS
from tests.convert.probes import PROBES
from tests.convert.steps import STEPS
from tests.frameworks_support import (
    SMALL,
    config_of,
    one_thread,  # noqa: F401  # an autouse fixture
    random_tensors,
)


@pytest.mark.frameworks
@pytest.mark.parametrize("framework", list(STEPS))
@pytest.mark.parametrize("detector", ["mask_rcnn", "cascade_rcnn"])
def test_a_training_step_moves_every_pre_trained_weight(framework, detector, tmp_path):
    write_export(
        random_tensors(SMALL),
        config_of(SMALL),
        FRAMEWORKS[framework],
        tmp_path / "out",
        Target(detector, num_classes=4),
    )
    model = PROBES[framework](tmp_path / "out").model.train()
    if framework == "torchvision":
        model.transform.min_size = (96,)
    assert all(p.requires_grad for p in model.parameters())
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    torch.manual_seed(0)
    assert np.isfinite(STEPS[framework](model))
    still = [name for name, p in model.named_parameters() if torch.equal(p, before[name])]
    fresh = ("predictor", "fc_cls", "fc_reg", "mask_head")
    assert not [name for name in still if not any(word in name for word in fresh)]
    assert all(torch.isfinite(p).all() for p in model.parameters())
