"""Framework x detector x depth x norm: strict load, agreement, and a step of the framework's own training.

Every pair of choices meets in some cell. ``ADEPT_FULL_MATRIX=1`` runs all 144 cells instead (docs/frameworks.md).
"""

from __future__ import annotations

import dataclasses
import itertools
import os

import numpy as np
import pytest
import torch

from adept_hub.convert.options import Target
from adept_hub.convert.plan import plan_for_model
from adept_hub.frameworks.recognize import recognize
from tests.convert.agreement import assert_agree, exported
from tests.convert.probes import canonical_probe
from tests.convert.steps import STEPS
from tests.frameworks_support import (
    SMALL,
    one_thread,  # noqa: F401  # an autouse fixture
    random_tensors,
)

FACTORS = (
    ("torchvision", "detectron2", "mmdet"),
    ("faster_rcnn", "mask_rcnn", "cascade_rcnn"),
    (18, 34, 50, 101),
    ("SyncBN", "BN", "FrozenBN", "none"),
)


def pairs_of(cell) -> set:
    return set(itertools.combinations(enumerate(cell), 2))


def all_pairs() -> list[tuple]:
    """Few cells in which every two choices of different factors meet: the cell with most new pairs, again and again."""
    cells = list(itertools.product(*FACTORS))
    wanted, chosen = set().union(*map(pairs_of, cells)), []
    while wanted:
        best = max(cells, key=lambda cell: len(wanted & pairs_of(cell)))
        chosen.append(best)
        wanted -= pairs_of(best)
    return chosen


CELLS = list(itertools.product(*FACTORS)) if os.environ.get("ADEPT_FULL_MATRIX") else all_pairs()


def test_every_pair_of_choices_is_in_some_cell():
    met = set().union(*map(pairs_of, CELLS))
    for (i, one), (j, other) in itertools.combinations(enumerate(FACTORS), 2):
        assert {((i, a), (j, b)) for a in one for b in other} <= met


@pytest.mark.frameworks
@pytest.mark.parametrize(("framework", "detector", "depth", "norm"), CELLS)
def test_a_cell_agrees_and_trains(framework, detector, depth, norm, tmp_path):
    spec = dataclasses.replace(SMALL, depth=depth)
    probe = exported(framework, tmp_path, Target(detector, num_classes=4, norm=norm), spec)
    reference = canonical_probe(spec, random_tensors(spec), detector)
    assert_agree(probe, reference, stages=3 if detector == "cascade_rcnn" else 1)
    model = probe.model.train()
    state = model.state_dict()
    plan = plan_for_model(recognize(state), state, random_tensors(spec), spec, fold_norms=norm == "none")
    assert all(torch.equal(state[step.target], step.tensor) for step in plan), "load_into would give the same"
    if framework == "torchvision":
        model.transform.min_size = (96,)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    statistics = {name: b.clone() for name, b in model.named_buffers() if name.endswith("running_mean")}
    torch.manual_seed(0)
    assert np.isfinite(STEPS[framework](model))
    moved = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    fresh = ("predictor", "fc_cls", "fc_reg", "mask_head")
    still = {n for n, p in before.items() if p.dim() > 1 and not any(word in n for word in fresh)} - moved
    assert not still, "convolutions and linear layers learn in every cell"
    learning = {
        name for name, b in model.named_buffers() if name in statistics and not torch.equal(b, statistics[name])
    }
    assert learning == (set() if norm in ("FrozenBN", "none") else set(statistics))
