"""The scale at which regions are shown, and detections in supervision's form."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from adept_hub.checkpoint.folder import replace_provenance
from adept_hub.detectors import regions
from adept_hub.detectors.regions import at_pretraining_scale
from adept_hub.errors import MissingExtraError
from tests.house import ANCHORS, House
from tests.training.predicting.test_formats import CLASSES, made


@pytest.mark.parametrize(("recipe", "view"), [({"views": {"sizes": [72, 56, 40]}}, 72), ({}, 224)])
def test_regions_are_searched_at_the_anchors_and_the_size_of_pre_training(
    recipe: dict[str, Any], view: int, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the house's recipe, or by the paper's views where none is recorded; P6's anchors are twice P5's."""
    config = replace_provenance(house.folder, recipe=recipe)
    asked: list[Any] = []

    def load(source: str, **options: Any) -> torch.nn.Module:
        asked.append((source, options))
        return torch.nn.Identity()

    monkeypatch.setattr(regions, "load_pretrained", load)
    assert not at_pretraining_scale(house.source, config).training
    assert asked == [
        (house.source, {"anchor_sizes": ANCHORS, "min_size": view, "max_size": 2 * view,
                        "rpn_post_nms_top_n_test": 300, "rpn_nms_thresh": 0.5}),
    ]  # fmt: skip


def test_supervision_counts_classes_from_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "supervision", SimpleNamespace(Detections=SimpleNamespace))  # type: ignore[arg-type]
    found = made().to_supervision()
    assert found.xyxy.tolist() == [[8, 10, 24, 30], [0, 0, 80, 5.5]]
    assert (found.xyxy.dtype, found.confidence.dtype) == (np.float32, np.float32)
    assert found.confidence.tolist() == [0.75, 0.5]
    assert found.class_id.tolist() == [1, 0]
    assert [CLASSES[number] for number in found.class_id] == found.data["class_name"].tolist()
    assert found.mask is None
    masked = made(masks=True).to_supervision().mask
    assert (masked.dtype, masked.shape, masked[0].sum()) == (np.bool_, (2, 40, 80), 16 * 20)
    assert masked[0, 10:30, 8:24].all()
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(MissingExtraError, match="supervision"):
        made().to_supervision()
