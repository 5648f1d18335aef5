"""Other projects' files: built here by their naming rules, imported, held against the tensors they came from."""

from __future__ import annotations

import argparse

import pytest
import torch
from torch import nn
from torchvision.models import resnet18

from adept_hub.checkpoint.folder import read_config, read_tensors
from adept_hub.cli.import_weights import add_arguments, run
from adept_hub.convert.norms import fold_into_convs
from adept_hub.convert.options import DOWNSTREAM_SIZES, Target
from adept_hub.convert.rescale_anchors import rescale_anchors
from adept_hub.errors import CheckpointError
from adept_hub.foreign.import_weights import import_layout, recognize_layout
from adept_hub.foreign.projects import FOREIGN_LAYOUTS
from adept_hub.frameworks import MMDET
from adept_hub.models import DetectorParts
from adept_hub.models.pooling import canonical_levels
from tests.foreign import foreign
from tests.foreign.soco import parts_of, soco_file
from tests.frameworks_support import (
    SMALL,
    one_thread,  # noqa: F401  # an autouse fixture
    random_tensors,
)


def command(words):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return run(parser.parse_args(words))


def test_soco_s_two_networks_are_told_apart():
    online, target = random_tensors(SMALL), random_tensors(SMALL, seed=1)
    state = soco_file(online, target)
    assert recognize_layout(state) == "soco"
    for layout, expected in (("soco", online), ("soco-target", target)):
        found, spec = import_layout(state, layout)
        assert (spec.depth, spec.fpn_channels, spec.head_fc_channels) == (18, 32, 40)
        expected = parts_of(expected, "backbone", "fpn", "head")
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[key], expected[key]) for key in expected)


def mmdet_without_norms(tensors):

    return MMDET.key_table().to_target(fold_into_convs(tensors, ("fpn", "head")))


def test_aligndet_s_norm_free_parts_compute_the_same():
    tensors = random_tensors(SMALL)
    inner = mmdet_without_norms(tensors)
    state = {f"{w}.{k}": t for w in ("online_backbone", "target_backbone", "backbone") for k, t in inner.items()}
    state |= {"backbone.roi_head.bbox_head.fc_cls.0.weight": torch.ones(2, 2)}
    assert recognize_layout(state) == "aligndet"
    found, spec = import_layout(state, "aligndet")
    # What AlignDet's own tool extracts: the online detector alone.
    extracted = {k.removeprefix("backbone."): t for k, t in state.items() if k.startswith("backbone.")}
    for kept in (extracted, {k: t for k, t in extracted.items() if "fc_cls" not in k}):  # with and without --keep-heads
        assert recognize_layout(kept) == "aligndet-detector"
        again, same = import_layout(kept, "aligndet-detector")
        assert same == spec
        assert all(torch.equal(again[key], found[key]) for key in found)
    one, other = DetectorParts(spec).eval(), DetectorParts(spec).eval()
    one.load_state_dict(tensors)
    other.load_state_dict(found)
    images = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        for a, b in zip(one(images), other(images), strict=True):
            for x, y in zip(a, b, strict=True):
                torch.testing.assert_close(y, x, rtol=1e-4, atol=1e-4)
        rois = torch.randn(3, 32, 7, 7, generator=torch.Generator().manual_seed(3))
        torch.testing.assert_close(other.head_features(rois), one.head_features(rois), rtol=1e-4, atol=1e-4)


def test_aligndet_keeps_its_own_anchors_and_levels():
    """Its RPN was trained on MMDetection's anchors: there is nothing to rescale, and stock levels are its own."""
    tensors = random_tensors(SMALL)
    found, spec = import_layout(mmdet_without_norms(tensors), "aligndet-detector")
    assert spec.anchors.sizes == DOWNSTREAM_SIZES[:4]
    rescaled = rescale_anchors(found, spec, DOWNSTREAM_SIZES)
    assert all(torch.equal(rescaled[key], found[key]) for key in found)
    assert Target(anchors="pretraining").anchor_sizes(spec) == DOWNSTREAM_SIZES
    sides = torch.tensor([40.0, 111, 113, 223, 225, 447, 449, 900])
    boxes = torch.stack([torch.zeros(8), torch.zeros(8), sides, sides], dim=1)
    assert canonical_levels(boxes, 4, spec.levels.upper[1]).tolist() == canonical_levels(boxes, 4).tolist()


class MoCo(nn.Module):
    """The modules that MoCo's builder makes."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder_q, self.encoder_k = resnet18(num_classes=8), resnet18(num_classes=8)
        self.encoder_q.fc = nn.Sequential(nn.Linear(512, 8), nn.ReLU(), self.encoder_q.fc)
        self.register_buffer("queue", torch.randn(8, 16))
        self.register_buffer("queue_ptr", torch.zeros(1, dtype=torch.long))


class MoCoV3(nn.Module):
    """The modules that MoCo v3's builder makes."""

    def __init__(self) -> None:
        super().__init__()
        self.base_encoder, self.momentum_encoder = resnet18(num_classes=8), resnet18(num_classes=8)
        self.predictor = nn.Sequential(nn.Linear(8, 8))


def swav():
    model = resnet18()
    del model.fc
    model.projection_head = nn.Sequential(nn.Linear(512, 8), nn.BatchNorm1d(8))
    model.prototypes = nn.Linear(8, 30, bias=False)
    return model


class OpenSelfSup(nn.Module):
    """DenseCL's modules in OpenSelfSup: the backbone is also the first of the query encoder."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = resnet18()
        del self.backbone.fc
        self.encoder_q = nn.Sequential(self.backbone, nn.Linear(4, 4))
        self.encoder_k = nn.Sequential(resnet18(), nn.Linear(4, 4))
        self.register_buffer("queue2", torch.randn(8, 16))


@pytest.mark.parametrize(
    ("layout", "build", "wrap", "inside"),
    [
        ("moco", MoCo, True, lambda m: m.encoder_q),
        ("moco-v3", MoCoV3, True, lambda m: m.base_encoder),
        ("swav", swav, True, lambda m: m),
        ("openselfsup", OpenSelfSup, False, lambda m: m.backbone),
    ],
)
def test_backbones_are_recognized_and_taken_whole(layout, build, wrap, inside):
    model = build()
    state = (nn.ModuleDict({"module": model}) if wrap else model).state_dict()
    assert recognize_layout(state) == layout
    found, spec = import_layout(state, layout)
    assert spec.depth == 18
    parts = DetectorParts(spec)
    parts.load_state_dict({**parts.state_dict(), **found})
    theirs = {k: t for k, t in inside(model).state_dict().items() if not k.startswith(("fc.", "proj", "proto"))}
    assert all(torch.equal(parts.backbone.state_dict()[key], tensor) for key, tensor in theirs.items())
    assert len(found) == len(theirs)


BY_RULE = [
    ("vissl", foreign.vissl, {}),
    ("simclr-v2", foreign.simclr_v2, {"fc.weight": torch.ones(2, 2)}),
    ("byol-pytorch", foreign.byol_pytorch, {"module.target_network.projetion.bn1.bias": torch.ones(2)}),
    ("detectron2-backbone", foreign.detectron2, {}),
    *(
        (name, foreign.plain, {"fc.bias": torch.ones(2)})
        for name in ("torchvision", "timm", "byol", "simclr", "resnet")
    ),
    *((name, foreign.plain, {}) for name in ("densecl", "detco")),
]


@pytest.mark.parametrize(("layout", "rule", "more"), BY_RULE, ids=[name for name, *_ in BY_RULE])
def test_every_tensor_of_a_resnet_50_arrives_in_its_place(layout, rule, more, resnet):
    state = {**{rule(key): tensor for key, tensor in resnet.items()}, **more}
    assert len(state) == 318 + len(more)
    if rule is foreign.plain:
        with pytest.raises(CheckpointError, match=r"Several projects use exactly these names: torchvision, .*simclr"):
            recognize_layout(state)
    else:
        assert recognize_layout(state) == layout
    found, spec = import_layout(state, layout)
    assert spec.depth == 50
    assert {key: int(t.sum()) for key, t in found.items()} == {f"backbone.{k}": int(t.sum()) for k, t in resnet.items()}


def test_counters_that_a_converter_left_out_become_zero(resnet):
    """chigur/byol-convert writes none."""
    state = {key: tensor for key, tensor in resnet.items() if "num_batches_tracked" not in key}
    found, _ = import_layout(state, "byol")
    assert found["backbone.bn1.num_batches_tracked"] == 0
    assert len(found) == 318


def test_both_layouts_of_simclr_have_its_pixels() -> None:
    raw = {name for name, layout in FOREIGN_LAYOUTS.items() if layout.preprocessing.std == (1.0, 1.0, 1.0)}
    assert raw == {"simclr", "simclr-v2"}


def test_simclr_s_pixels_and_byol_s_padding_reach_the_config_and_the_card(resnet, tmp_path, capsys):
    torch.save({"state_dict": resnet}, tmp_path / "r50.pth")
    for layout in ("simclr", "byol"):
        assert command([str(tmp_path / "r50.pth"), "--out", str(tmp_path / layout), "--layout", layout]) == 0
    simclr, byol = read_config(tmp_path / "simclr"), read_config(tmp_path / "byol")
    assert (simclr.preprocessing.mean, simclr.preprocessing.std) == ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    assert byol.preprocessing.mean == (0.485, 0.456, 0.406)
    assert "SAME" in byol.provenance.notes[0]
    assert "SAME" in capsys.readouterr().out
    words = ["--layout", "timm", "--mean", "0.5", "0.5", "0.5", "--std", "0.5", "0.5", "0.25"]
    assert command([str(tmp_path / "r50.pth"), "--out", str(tmp_path / "timm"), *words]) == 0
    assert read_config(tmp_path / "timm").preprocessing.std == (0.5, 0.5, 0.25)


@pytest.mark.parametrize(
    ("layout", "wrap"),
    [
        (
            "vissl",
            lambda s: {"classy_state_dict": {"base_model": {"model": {"trunk": s, "heads": {"0.clf.0.bias": 1}}}}},
        ),
        ("vissl", lambda s: {"model_state_dict": s}),
        ("simclr-v2", lambda s: {"resnet": s, "head": {"layers.0.weight": torch.ones(2, 2)}}),
        ("detectron2-backbone", lambda s: {"model": s, "__author__": "MOCO", "matching_heuristics": True}),
    ],
)
def test_a_state_dict_is_found_where_the_project_puts_it(layout, wrap, tmp_path, resnet):
    rule = next(rule for name, rule, _ in BY_RULE if name == layout)
    torch.save(wrap({rule(key): tensor for key, tensor in resnet.items()}), tmp_path / "x.torch")
    assert command([str(tmp_path / "x.torch"), "--out", str(tmp_path / "out")]) == 0
    assert read_config(tmp_path / "out").spec.depth == 50


def test_the_command_writes_a_checkpoint(tmp_path, capsys):
    online = random_tensors(SMALL)
    # As SoCo saves it: with its arguments, which are no tensors.
    torch.save(
        {"opt": argparse.Namespace(lr=1.0), "model": soco_file(online, online), "epoch": 100}, tmp_path / "s.pth"
    )
    words = [str(tmp_path / "s.pth"), "--out", str(tmp_path / "ckpt"), "--data", "ImageNet-1k", "--license", "MIT"]
    assert command(words) == 0
    assert "layout soco" in capsys.readouterr().out
    config = read_config(tmp_path / "ckpt")
    assert config.parts == ("backbone", "fpn", "head")
    assert (config.provenance.method, config.provenance.exported_network) == ("soco", "online")
    found = read_tensors(tmp_path / "ckpt", config)
    assert all(torch.equal(found[key], online[key]) for key in found)
