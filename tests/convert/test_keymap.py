"""The table machine, and the three tables: one-to-one, complete, strict."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from adept_hub.convert.keymap import KeyRow, KeyTable
from adept_hub.errors import CheckpointError, UnknownKeyError
from adept_hub.frameworks import DETECTRON2, FRAMEWORKS, MMDET
from adept_hub.models.contract import expected_tensors
from adept_hub.spec import DetectorSpec

DETECTORS = ("faster_rcnn", "mask_rcnn", "cascade_rcnn")
R50 = DetectorSpec()


def test_a_slot_is_one_number_and_keeps_its_place():
    table = KeyTable("f", (KeyRow("conv", "a.{}.b{}", "{}x.y.{}"),))
    assert table.targets("a.3.b12.weight") == ("3x.y.12.weight",)
    assert table.canonical("3x.y.12.weight") == "a.3.b12.weight"


@pytest.mark.parametrize(
    "key",
    ["a.3.b.weight", "a.03.b1.weight", "a.3.b1.bias", "a.3.b1", "za.3.b1.weight", "a.3.b1.x.weight", "weight", ""],
)
def test_anything_else_raises(key):
    table = KeyTable("f", (KeyRow("conv", "a.{}.b{}", "{}x.y.{}"),))
    with pytest.raises(UnknownKeyError):
        table.targets(key)
    with pytest.raises(UnknownKeyError):
        table.canonical(key)


def test_dots_in_a_template_are_dots():
    with pytest.raises(UnknownKeyError):
        KeyTable("f", (KeyRow("conv", "a.b", "c.d"),)).targets("aXb.weight")


def test_two_rows_may_not_share_a_target():
    with pytest.raises(ValueError, match="share"):
        KeyTable("f", (KeyRow("conv", "a", "c"), KeyRow("conv", "b", "c")))


def test_fresh_keys_are_known_but_hold_no_part():
    table = KeyTable("f", (KeyRow("conv", "a", "c"),), (r"predictor\..*",))
    assert table.canonical("predictor.weight") is None
    state = {"c.weight": torch.ones(1), "predictor.bias": torch.ones(1)}
    assert list(table.to_canonical(state)) == ["a.weight"]


@pytest.mark.parametrize(
    ("framework", "canonical", "target"),
    [
        # Worked by hand.
        ("detectron2", "backbone.conv1.weight", "backbone.bottom_up.stem.conv1.weight"),
        ("detectron2", "backbone.layer3.5.bn2.running_var", "backbone.bottom_up.res4.5.conv2.norm.running_var"),
        ("detectron2", "backbone.layer1.0.downsample.0.weight", "backbone.bottom_up.res2.0.shortcut.weight"),
        ("detectron2", "fpn.inner_blocks.0.0.weight", "backbone.fpn_lateral2.weight"),
        ("detectron2", "fpn.layer_blocks.3.1.bias", "backbone.fpn_output5.norm.bias"),
        ("detectron2", "rpn.conv.0.0.bias", "proposal_generator.rpn_head.conv.bias"),
        ("detectron2", "head.3.1.running_mean", "roi_heads.box_head.conv4.norm.running_mean"),
        ("detectron2", "head.5.weight", "roi_heads.box_head.fc1.weight"),
        ("mmdet", "backbone.layer4.2.bn3.weight", "backbone.layer4.2.bn3.weight"),
        ("mmdet", "fpn.layer_blocks.2.1.running_mean", "neck.fpn_convs.2.bn.running_mean"),
        ("mmdet", "rpn.bbox_pred.weight", "rpn_head.rpn_reg.weight"),
        ("mmdet", "head.0.0.weight", "roi_head.bbox_head.shared_convs.0.conv.weight"),
        ("mmdet", "head.5.bias", "roi_head.bbox_head.shared_fcs.0.bias"),
        ("torchvision", "backbone.layer2.0.downsample.1.bias", "backbone.body.layer2.0.downsample.1.bias"),
        (
            "torchvision",
            "fpn.inner_blocks.1.1.num_batches_tracked",
            "backbone.fpn.inner_blocks.1.1.num_batches_tracked",
        ),
        ("torchvision", "rpn.cls_logits.bias", "rpn.head.cls_logits.bias"),
        ("torchvision", "head.5.weight", "roi_heads.box_head.5.weight"),
    ],
)
def test_names_are_the_framework_s_own(framework, canonical, target):
    assert FRAMEWORKS[framework].key_table().targets(canonical) == (target,)


def test_cascade_gives_the_head_to_every_stage():
    assert MMDET.key_table("cascade_rcnn").targets("head.5.bias") == (
        "roi_head.bbox_head.0.shared_fcs.0.bias",
        "roi_head.bbox_head.1.shared_fcs.0.bias",
        "roi_head.bbox_head.2.shared_fcs.0.bias",
    )


def test_stages_that_were_trained_apart_are_no_longer_one_head():
    table = DETECTRON2.key_table("cascade_rcnn")
    state = table.to_target({"head.5.bias": torch.ones(3)})
    state["roi_heads.box_head.2.fc1.bias"] = torch.zeros(3)
    with pytest.raises(CheckpointError, match="were fine-tuned"):
        table.to_canonical(state)


specs = st.builds(
    DetectorSpec,
    depth=st.sampled_from([18, 34, 50, 101]),
    fpn_channels=st.integers(1, 6),
    head_conv_channels=st.integers(1, 6),
    head_fc_channels=st.integers(1, 6),
)


@settings(max_examples=30, deadline=None)
@given(
    spec=specs,
    framework=st.sampled_from(sorted(FRAMEWORKS)),
    detector=st.sampled_from(DETECTORS),
    seed=st.integers(0, 99),
)
def test_round_trips_are_lossless_for_any_architecture(spec, framework, detector, seed):
    generator = torch.Generator().manual_seed(seed)
    # One number a tensor is enough to tell them apart; names and order are what a table could lose.
    tensors = {key: torch.randn(1, generator=generator) for key in expected_tensors(spec)}
    table = FRAMEWORKS[framework].key_table(detector)
    state = table.to_target(tensors)
    heads = sum(key.startswith("head.") for key in tensors)
    assert len(state) == len(tensors) + (2 * heads if detector == "cascade_rcnn" else 0)
    back = table.to_canonical(state)
    assert list(back) == list(tensors)
    assert all(torch.equal(back[key], tensors[key]) for key in tensors)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_every_row_is_used_and_no_two_rows_know_one_key(framework):
    table = FRAMEWORKS[framework].key_table()
    found = [row for key in expected_tensors(R50) for row in _rows(table, key)]
    assert len(found) == len(expected_tensors(R50))
    assert set(found) == set(table.rows)


def _rows(table: KeyTable, key: str) -> list[KeyRow]:
    return [row for row in table.rows if _knows(row, key)]


def _knows(row: KeyRow, key: str) -> bool:
    try:
        return bool(KeyTable("one", (row,)).targets(key))
    except UnknownKeyError:
        return False


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_renaming_any_single_tensor_is_caught(framework):
    table = FRAMEWORKS[framework].key_table()
    for key in expected_tensors(R50):
        (target,) = table.targets(key)
        for renamed in (f"x{key}", f"{key}x", key.replace(".", "_", 1)):
            with pytest.raises(UnknownKeyError):
                table.targets(renamed)
        for renamed in (f"x{target}", f"{target}x", target.replace(".", "_", 1)):
            with pytest.raises(UnknownKeyError):
                table.canonical(renamed)
