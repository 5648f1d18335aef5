"""Predictions in pixels of the image, for images that the network sees at another size, from boxes that are known.

Legend: K proposals.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from adept_hub.detectors.recipe import DetectorRecipe
from adept_hub.models.propose import propose
from adept_training.finetuning.detector import build_detector
from adept_training.labels.records import Split
from adept_training.metrics.predict import predict
from tests.training.made import image, split

HEIGHT, WIDTH, SIDE = 50, 75, 96  # the network sees 96 x 144


@pytest.fixture
def model(make_checkpoint):
    recipe = DetectorRecipe(
        test_side=SIDE, max_side=400, test_proposals=7, train_proposals=7, score_threshold=0.0, detections=5,
        anchors=(16.0, 24.0, 32.0, 48.0, 64.0),
    )  # fmt: skip
    model = build_detector(str(make_checkpoint()[0]), 3, recipe, 0).eval()
    model.rpn.head.bbox_pred.weight.data *= 0.02  # random deltas are too large for boxes to differ
    model.rpn.head.bbox_pred.bias.data *= 0.02
    return model


@pytest.fixture
def truth(tmp_path: Path) -> Split:
    pixels = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    one = image("a", [[0, 0, 9, 9]], [1])
    return split(replace(one, path=tmp_path / "a.png", width=WIDTH, height=HEIGHT))


def test_boxes_in_the_network_s_input_become_boxes_in_the_image(model, truth: Split, monkeypatch) -> None:
    inside_K4 = torch.tensor([[9.6, 19.2, 48.0, 96.0], [0.0, 0.0, 144.0, 96.0], [100.0, 3.0, 130.0, 40.0]])
    expected = np.array([[5.0, 10.0, 25.0, 50.0], [0.0, 0.0, 75.0, 50.0], [52.083333, 1.5625, 67.708333, 20.833333]])
    seen = {}

    def rpn(batch, features, targets=None):
        assert batch.image_sizes == [(SIDE, 144)]
        return [inside_K4], {}

    def heads(features, proposals, shapes):
        seen["proposals"] = proposals
        row = {"boxes": inside_K4[[2, 0]], "scores": torch.tensor([0.9, 0.4]), "labels": torch.tensor([3, 1])}
        return [row], {}

    monkeypatch.setattr(model.rpn, "forward", rpn)
    monkeypatch.setattr(model.roi_heads, "forward", heads)
    found, proposed = predict(model, truth)
    (key,) = found
    np.testing.assert_allclose(proposed[key].boxes_D4, expected, atol=1e-4)
    np.testing.assert_allclose(found[key].boxes_D4, expected[[2, 0]], atol=1e-4)
    assert found[key].labels_D.tolist() == [3, 1]
    assert (np.diff(proposed[key].scores_D) < 0).all(), "their order is the RPN's"
    assert torch.equal(seen["proposals"][0], inside_K4), "the heads get them in the network's pixels"


def test_proposals_are_those_of_the_library_and_the_heads_get_the_recipe_s_number(model, truth: Split) -> None:
    pixels_HWC = np.asarray(Image.open(truth.images[0].path))
    (expected,) = propose(model, [torch.from_numpy(pixels_HWC.transpose(2, 0, 1) / np.float32(255))])
    counts = []
    model.roi_heads.box_head.register_forward_hook(lambda _, inputs, __: counts.append(len(inputs[0])))
    found, proposed = predict(model, truth)
    (key,) = found
    assert len(expected.boxes_K4) == counts[0] == 7
    assert len(proposed[key]) > 7, "recall at a thousand needs more than the heads see"
    np.testing.assert_allclose(proposed[key].boxes_D4[:7], expected.boxes_K4, atol=1e-3)


@pytest.mark.parametrize("ends_well", [True, False])
def test_the_rpn_s_limits_are_put_back(ends_well: bool, model, truth: Split, monkeypatch) -> None:
    limits = (model.rpn._pre_nms_top_n, model.rpn._post_nms_top_n)
    limits[0]["testing"] = 600  # below what recall at a thousand needs
    before, seen = [dict(limit) for limit in limits], []
    real = model.rpn.filter_proposals

    def filter_proposals(*arguments):
        seen.append((model.rpn.pre_nms_top_n(), model.rpn.post_nms_top_n()))
        if not ends_well:
            raise RuntimeError("out of memory")
        return real(*arguments)

    monkeypatch.setattr(model.rpn, "filter_proposals", filter_proposals)
    with contextlib.nullcontext() if ends_well else pytest.raises(RuntimeError, match="out of memory"):
        predict(model, truth)
    assert seen == [(1000, 1000)]
    assert [dict(limit) for limit in limits] == before
