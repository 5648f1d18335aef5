"""Loading: what arrives is what was saved, and what was promised arrives or nothing does."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torchvision.models.detection import fasterrcnn_resnet50_fpn

import adept_hub
from adept_hub.errors import (
    IncompleteLoadError,
    UnknownModelError,
    UnpublishedWeightsError,
    UnsupportedDetectorError,
    UnsupportedModelError,
)
from adept_hub.models.propose import propose
from adept_hub.spec import DetectorSpec

#: torchvision's place of each part, written out by hand.
PLACES = {"backbone.": "backbone.body.", "fpn.": "backbone.fpn.", "rpn.": "rpn.head.", "head.": "roi_heads.box_head."}


def torchvision_key(key: str) -> str:
    part, rest = key.split(".", 1)
    return PLACES[f"{part}."] + rest


@pytest.mark.parametrize("detector", ["faster_rcnn", "mask_rcnn"])
def test_every_tensor_arrives(make_checkpoint, detector: str) -> None:
    folder, _, parts = make_checkpoint()
    state = adept_hub.load_pretrained(folder, num_classes=5, detector=detector).state_dict()
    for key, tensor in parts.state_dict().items():
        assert torch.equal(state[torchvision_key(key)], tensor), key
    assert state["roi_heads.box_predictor.cls_score.weight"].shape[0] == 5
    assert not any(tensor.is_meta for tensor in state.values())


def test_half_precision_files_are_loaded_as_float32(make_checkpoint) -> None:
    folder, _, parts = make_checkpoint(half=True)
    state = adept_hub.load_pretrained(folder).state_dict()
    assert {t.dtype for t in state.values()} == {torch.float32, torch.int64}
    for key, tensor in parts.state_dict().items():
        torch.testing.assert_close(state[torchvision_key(key)], tensor, rtol=1e-3, atol=1e-4)


def test_loaded_weights_are_private_copies_of_the_file(make_checkpoint) -> None:
    folder, _, parts = make_checkpoint()
    with torch.no_grad():
        for tensor in adept_hub.load_pretrained(folder).state_dict().values():
            tensor.zero_()
    again = adept_hub.load_pretrained(folder).state_dict()
    assert torch.equal(again["rpn.head.bbox_pred.bias"], parts.rpn.bbox_pred.bias)


def test_the_report_counts_every_tensor(make_checkpoint) -> None:
    folder, _, parts = make_checkpoint()
    model = adept_hub.load_pretrained(folder, num_classes=5)
    report = model.load_report
    for part in ("backbone", "fpn", "rpn", "head"):
        own = parts.get_submodule(part).state_dict()
        assert (report[part].loaded, report[part].bytes) == (len(own), sum(t.nbytes for t in own.values()))
        assert report[part].reinitialized == ()
    assert report.loaded + len(report["predictors"].reinitialized) == len(model.state_dict())
    assert str(report).splitlines()[-1].split() == ["total", "200", f"{report.bytes / 1e6:.1f}", "4", "0", "0"]


def test_parts_left_out_keep_their_initial_values_and_are_reported(make_checkpoint) -> None:
    folder, _, parts = make_checkpoint()
    model = adept_hub.load_pretrained(folder, parts=("backbone", "fpn"))
    assert torch.equal(model.backbone.fpn.state_dict()["inner_blocks.0.0.weight"], parts.fpn.inner_blocks[0][0].weight)
    assert not model.rpn.head.cls_logits.bias.any()
    assert model.load_report["rpn"].loaded == 0
    assert len(model.load_report["rpn"].reinitialized) == 6


def test_a_part_that_the_checkpoint_lacks_is_an_error(make_checkpoint) -> None:
    folder, _, _ = make_checkpoint(parts=("backbone", "fpn", "head"), method="soco")
    with pytest.raises(IncompleteLoadError, match=r"no rpn.*\n.*parts=\('backbone', 'fpn', 'head'\)"):
        adept_hub.load_pretrained(folder)
    # Of what was asked for only; where nothing is left of that, all that it holds.
    for asked, rest in ((("backbone", "rpn"), ("backbone",)), (("rpn",), ("backbone", "fpn", "head"))):
        with pytest.raises(IncompleteLoadError) as caught:
            adept_hub.load_pretrained(folder, parts=asked)
        assert f"parts={rest!r} (adept export: --parts {' '.join(rest)})" in str(caught.value)
    assert adept_hub.load_pretrained(folder, parts=("backbone", "fpn", "head")).load_report["rpn"].loaded == 0


def test_anchors_and_levels_of_pre_training_are_options(make_checkpoint) -> None:
    folder, config, _ = make_checkpoint()
    image, sizes = [torch.rand(3, 96, 128, generator=torch.Generator().manual_seed(0))], config.spec.anchors.sizes
    small = {"num_classes": 3, "min_size": 96, "max_size": 128}
    own = adept_hub.load_pretrained(folder, anchors="pretraining", **small).eval()
    assert own.rpn.anchor_generator.sizes == tuple((size,) for size in (*sizes, 2 * sizes[-1]))
    rescaled = adept_hub.load_pretrained(folder, anchors="rescaled", **small).eval()
    plain = adept_hub.load_pretrained(folder, anchors="downstream", **small).eval()
    assert (
        rescaled.rpn.anchor_generator.sizes
        == plain.rpn.anchor_generator.sizes
        == ((32,), (64,), (128,), (256,), (512,))
    )
    boxes = [propose(model, image)[0].boxes_K4 for model in (own, rescaled, plain)]
    torch.testing.assert_close(boxes[1], boxes[0], rtol=0, atol=1e-2)
    assert boxes[2].shape != boxes[0].shape or not torch.allclose(boxes[2], boxes[0], atol=1)
    model = adept_hub.load_pretrained(folder, levels="pretraining", **small)
    assert model.roi_heads.box_roi_pool.canonical_size == config.spec.levels.upper[1]
    with pytest.raises(UnsupportedDetectorError, match="anchors='9'"):
        adept_hub.load_pretrained(folder, anchors="9")


def test_an_unknown_part_is_an_error(make_checkpoint) -> None:
    folder, _, _ = make_checkpoint()
    with pytest.raises(IncompleteLoadError, match="no part 'neck'"):
        adept_hub.load_pretrained(folder, parts=("neck",))


def test_load_into_copies_into_a_users_own_model(make_checkpoint) -> None:
    folder, _, parts = make_checkpoint()
    mine = adept_hub.load_pretrained(folder, num_classes=4)
    with torch.no_grad():
        for tensor in mine.state_dict().values():
            tensor.zero_()
    report = adept_hub.load_into(mine, folder)
    state = mine.state_dict()
    for key, tensor in parts.state_dict().items():
        assert torch.equal(state[torchvision_key(key)], tensor), key
    assert report.loaded == 200
    assert not state["roi_heads.box_predictor.cls_score.weight"].any()


def test_load_into_a_model_that_cannot_hold_the_weights_leaves_it_untouched(make_checkpoint) -> None:
    folder, _, _ = make_checkpoint(DetectorSpec(depth=50))
    stock = fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None, num_classes=3)
    before = {key: tensor.clone() for key, tensor in stock.state_dict().items()}
    with pytest.raises(UnsupportedModelError, match="norm"):
        adept_hub.load_into(stock, folder)
    assert all(torch.equal(before[key], tensor) for key, tensor in stock.state_dict().items())


def test_state_dict_under_canonical_and_torchvision_names(make_checkpoint) -> None:
    folder, _, parts = make_checkpoint()
    canonical = adept_hub.load_state_dict(folder)
    assert canonical.keys() == parts.state_dict().keys()
    renamed = adept_hub.load_state_dict(folder, framework="torchvision")
    assert renamed.keys() == {torchvision_key(key) for key in canonical}
    only = adept_hub.load_state_dict(folder, parts=("rpn",))
    assert {key.split(".")[0] for key in only} == {"rpn"}


def test_create_model_has_no_weights_and_knows_architectures() -> None:
    model = adept_hub.create_model("adept_joint_r18_fpn128", num_classes=3)
    assert model.rpn.head.cls_logits.in_channels == 128
    with pytest.raises(UnknownModelError, match="adept_joint_r18_fpn"):
        adept_hub.create_model("adept_joint_r19_fpn")


def test_unpublished_weights_are_never_replaced_by_noise() -> None:
    with pytest.raises(UnpublishedWeightsError, match="adept pretrain"):
        adept_hub.load_pretrained("adept_separate_r101_fpn")


def test_export_writes_what_load_state_dict_gives(make_checkpoint, tmp_path: Path) -> None:
    folder, _, _ = make_checkpoint()
    weights, _ = adept_hub.export(folder, "detectron2", tmp_path / "out")
    written = torch.load(weights, weights_only=True)["model"]
    expected = adept_hub.load_state_dict(folder, framework="detectron2")
    assert written.keys() == expected.keys()
    assert all(torch.equal(written[key], expected[key]) for key in expected)
