"""What the report of a load says: every tensor once, and only what arrived."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import adept_hub
from adept_hub.errors import IncompleteLoadError
from tests.conftest import SMALL
from tests.load_checks import assert_loaded, mine
from tests.test_load import torchvision_key


def test_the_report_names_every_tensor_of_the_model_once(make_checkpoint) -> None:
    folder, _, parts = make_checkpoint()
    model = mine("mask_rcnn")
    report = adept_hub.load_into(model, folder, parts=("backbone", "rpn"))
    left = [key for row in report.parts for key in row.reinitialized]
    assert len(left) == len(set(left))
    held = {torchvision_key(key) for key in parts.state_dict() if key.split(".")[0] in ("backbone", "rpn")}
    assert held | set(left) == set(model.state_dict())
    assert report.loaded == len(held)
    assert len(report["head"].reinitialized) == len(parts.head.state_dict())
    assert all("mask" in key or "predictor" in key for key in report["other"].reinitialized)


def test_folded_norms_are_reported_as_adapted_and_skipped(make_checkpoint) -> None:
    from torchvision.models.detection.faster_rcnn import FastRCNNConvFCHead
    from torchvision.ops import FeaturePyramidNetwork

    folder, _, parts = make_checkpoint()
    model = mine()
    model.backbone.fpn = FeaturePyramidNetwork(list(SMALL.stage_channels), 32)
    model.roi_heads.box_head = FastRCNNConvFCHead((32, 7, 7), [32] * 4, [64])
    report = adept_hub.load_into(model, folder, fold_norms=True)
    assert (report["fpn"].loaded, len(report["fpn"].reshaped), len(report["fpn"].skipped)) == (16, 16, 40)
    reasons = dict(report["fpn"].skipped)
    assert "folded" in reasons["fpn.inner_blocks.0.1.running_mean"]
    assert "do not count batches" in reasons["fpn.inner_blocks.0.1.num_batches_tracked"]
    assert report["backbone"].reshaped == report["backbone"].skipped == ()
    assert report["head"].loaded + len(report["head"].skipped) == len(parts.head.state_dict()) + 4


def test_load_pretrained_ignores_what_surrounds_it(make_checkpoint) -> None:
    """Devices, precision and modes that are set for other code would give tensors without values, or mixed ones."""
    folder, _, parts = make_checkpoint()

    def loaded() -> nn.Module:
        return adept_hub.load_pretrained(folder, num_classes=3)

    with torch.device("meta"):
        models = [loaded()]
    with torch.inference_mode():
        models.append(loaded())
    torch.set_default_dtype(torch.float64)
    try:
        models.append(loaded())
    finally:
        torch.set_default_dtype(torch.float32)
    for model in models:
        assert_loaded(model, parts)
        assert {t.device.type for t in model.state_dict().values()} == {"cpu"}
        assert {p.dtype for p in model.parameters()} == {torch.float32}
        assert not any(p.is_inference() for p in model.parameters())
        model.train()(
            [torch.rand(3, 64, 64)], [{"boxes": torch.tensor([[4.0, 4, 40, 40]]), "labels": torch.tensor([1])}]
        )


@pytest.mark.parametrize("detector", ["faster_rcnn", "mask_rcnn", "cascade_rcnn"])
def test_the_report_of_load_pretrained_covers_the_whole_model(make_checkpoint, detector: str) -> None:
    folder, _, parts = make_checkpoint()
    model = adept_hub.load_pretrained(folder, detector=detector, num_classes=3)
    report, heads = model.load_report, 3 if detector == "cascade_rcnn" else 1
    assert report["head"].loaded == heads * len(parts.head.state_dict())
    assert report.loaded + sum(len(row.reinitialized) for row in report.parts) == len(model.state_dict())
    rescaled = adept_hub.load_pretrained(folder, detector=detector, anchors="rescaled").load_report
    assert tuple(sorted(rescaled["rpn"].reshaped)) == ("rpn.head.bbox_pred.bias", "rpn.head.bbox_pred.weight")


def test_a_load_that_did_not_arrive_is_not_reported(make_checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, _, _ = make_checkpoint()
    load: Callable[..., Any] = nn.Module.load_state_dict

    def wrong(self: nn.Module, state: dict[str, Tensor], *args: Any, **kwargs: Any) -> Any:
        return load(
            self, {k: t + (t.is_floating_point() and k == "cls_logits.bias") for k, t in state.items()}, *args, **kwargs
        )

    monkeypatch.setattr(nn.Module, "load_state_dict", wrong)
    with pytest.raises(IncompleteLoadError, match=r"rpn\.head\.cls_logits\.bias' does not have"):
        adept_hub.load_pretrained(folder)
