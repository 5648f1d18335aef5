"""Whole detectors of other projects: the real classes with random values, their files imported, detections compared."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import resnet18
from torchvision.models.detection import MaskRCNN, maskrcnn_resnet50_fpn_v2
from torchvision.models.detection.backbone_utils import _resnet_fpn_extractor
from torchvision.ops import FrozenBatchNorm2d

import adept_hub
from adept_hub.checkpoint.folder import read_config, read_tensors
from adept_hub.convert.options import Target
from adept_hub.errors import UnsupportedModelError
from adept_hub.foreign.detectors import published_layout
from adept_hub.foreign.import_weights import import_layout, recognize_layout
from tests.convert.agreement import assert_agree, written
from tests.convert.probes import TorchvisionProbe
from tests.foreign.test_import_weights import command
from tests.frameworks_support import (
    one_thread,  # noqa: F401  # an autouse fixture
)

#: P5 is 3 x 4 of it and P6 2 x 2: torchvision then has another stride on P6 than the other frameworks.
IMAGE = torch.rand(3, 96, 128, generator=torch.Generator().manual_seed(1))
CLASSES = 6
#: Few boxes: two seconds are saved.
LIMITS = {
    "min_size": 96, "max_size": 128, "rpn_post_nms_top_n_test": 40, "box_score_thresh": 0.01,
    "box_detections_per_img": 30,
}  # fmt: skip
CLASSIFIERS = ("roi_heads.box_predictor.cls_score.weight", "roi_head.bbox_head.fc_cls.weight")
SIZES = (32.0, 64.0, 128.0, 256.0, 512.0)


def randomize(model: nn.Module, predictors: tuple[str, ...]) -> None:
    """Give every tensor random values, statistics included, which keep the scale of the signal."""
    generator = torch.Generator().manual_seed(7)
    for key, tensor in model.state_dict().items():
        if not tensor.is_floating_point() or key.endswith(("pixel_mean", "pixel_std")) or "cell_anchors" in key:
            continue
        if key.endswith("running_var"):
            value = torch.rand(tensor.shape, generator=generator) + 0.5
        elif tensor.dim() > 1:
            value = torch.randn(tensor.shape, generator=generator) / math.sqrt(tensor[0].numel())
        elif key.endswith("weight"):
            value = torch.rand(tensor.shape, generator=generator) * 0.2 + 0.2
        else:
            value = torch.randn(tensor.shape, generator=generator) * 0.1
        tensor.copy_(value * (0.1 if any(name in key for name in predictors) else 1))


@dataclass(frozen=True)
class Imported:
    """A framework's model, its state dict, and the checkpoint imported from its file."""

    model: nn.Module
    state: dict[str, Tensor]
    folder: Path


def as_published(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A state dict whose classifier, which an import drops, is for COCO's classes: of few, the file is not COCO's."""
    key = next(key for key in CLASSIFIERS if key in state)
    rows = 91 if "backbone.body.conv1.weight" in state else 81
    return dict(state) | {key: torch.zeros(rows, state[key].shape[1])}


def imported(model: nn.Module, folder: Path, *words: str, state: dict[str, Any] | None = None) -> Imported:
    state = model.state_dict() if state is None else state
    torch.save(state if "meta" in state else as_published(state), folder / "model.pth")
    assert command([str(folder / "model.pth"), "--out", str(folder / "out"), *words]) == 0
    return Imported(model.eval(), state, folder / "out")


def torchvision_v1() -> MaskRCNN:
    """What maskrcnn_resnet50_fpn builds for its COCO weights, which has no option for frozen norms without weights.

    A ResNet-18 saves seconds; the second version is a ResNet-50.
    """
    body = _resnet_fpn_extractor(resnet18(norm_layer=FrozenBatchNorm2d), 3)
    return MaskRCNN(body, CLASSES, **LIMITS)


def older_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The names of torchvision's files of 2019, which its classes still read."""
    renamed = {}
    for key, tensor in state.items():
        if ".fpn." in key:
            key = key.replace(".0.weight", ".weight").replace(".0.bias", ".bias")
        renamed[key.replace("rpn.head.conv.0.0.", "rpn.head.conv.")] = tensor
    return renamed


@pytest.fixture(scope="module")
def v1(tmp_path_factory) -> Imported:
    """COCO_V1: names of 2019, frozen norms with an epsilon of 0, some of them with tiny variances."""
    model = torchvision_v1()
    randomize(model, ("rpn.head.bbox_pred", "rpn.head.cls_logits", "box_predictor"))
    model.backbone.body.layer2[0].bn1.running_var[:8] = 1e-6
    model.backbone.body.layer2[0].bn1.weight[:8] *= 1e-3
    old = older_names(model.state_dict())
    assert "backbone.fpn.inner_blocks.0.weight" in old
    torchvision_v1().load_state_dict(dict(old))  # torchvision itself reads these names
    for module in model.modules():
        if isinstance(module, FrozenBatchNorm2d):
            module.eps = 0.0
    return imported(model, tmp_path_factory.mktemp("v1"), "--layout", "torchvision-coco-v1", state=old)


@pytest.fixture(scope="module")
def v2(tmp_path_factory) -> Imported:
    model = maskrcnn_resnet50_fpn_v2(weights=None, weights_backbone=None, num_classes=CLASSES, **LIMITS)
    randomize(model, ("rpn.head.bbox_pred", "rpn.head.cls_logits", "box_predictor"))
    return imported(model, tmp_path_factory.mktemp("v2"))


def with_predictors(one: Imported) -> nn.Module:
    """The imported detector with the original's predictors and mask head."""
    model = adept_hub.load_pretrained(one.folder, num_classes=CLASSES, detector="mask_rcnn", **LIMITS)
    heads = model.roi_heads
    for name in ("box_predictor", "mask_head", "mask_predictor"):
        getattr(heads, name).load_state_dict(getattr(one.model.roi_heads, name).state_dict())
    return model.eval()


@pytest.mark.parametrize("name", ["v1", "v2"])
def test_torchvision_s_whole_detections_are_the_same(name, request):
    one = request.getfixturevalue(name)
    with torch.no_grad():
        (theirs,), (ours,) = one.model([IMAGE]), with_predictors(one)([IMAGE])
    assert len(theirs["boxes"]) == 30
    assert torch.equal(ours["labels"], theirs["labels"])
    assert (ours["boxes"] - theirs["boxes"]).abs().max() < 1e-2
    assert (ours["scores"] - theirs["scores"]).abs().max() < 1e-4
    assert (ours["masks"] - theirs["masks"]).abs().max() < 1e-3


@pytest.mark.parametrize("name", ["v1", "v2"])
def test_an_export_of_the_import_is_the_original(name, request, tmp_path):
    """import -> export -> framework: the export's own program builds the model and loads the weights strictly."""
    one = request.getfixturevalue(name)
    config = read_config(one.folder)
    probe = written("torchvision", tmp_path / "out", read_tensors(one.folder, config), config, Target())
    assert_agree(probe, TorchvisionProbe(one.model), proposals_each=LIMITS["rpn_post_nms_top_n_test"])


def test_the_spec_is_torchvision_s(v1, v2):
    first, second = (read_config(one.folder) for one in (v1, v2))
    assert (first.spec.depth, first.spec.rpn_convs, first.spec.head) == (18, 1, "2fc")
    assert (first.spec.backbone_norm, first.spec.fpn_norm, first.spec.head_norm) == ("frozen_bn", "none", "none")
    assert (second.spec.depth, second.spec.rpn_convs, second.spec.head) == (50, 2, "4conv1fc")
    assert (second.spec.backbone_norm, second.spec.fpn_norm, second.spec.head_norm) == ("bn", "bn", "bn")
    for config in (first, second):
        assert config.spec.anchors.sizes == SIZES
        assert (config.spec.anchors.generator, config.spec.pooling) == ("rounded", "unaligned")
        assert not config.spec.stride_in_1x1
        assert config.provenance.labeled
        assert "COCO" in config.provenance.data
        assert config.license == config.provenance.starts[0].license == "bsd-3-clause"


def test_epsilon_0_is_that_of_the_published_file_alone(v1, tmp_path, capsys):
    """A file that is not the published one has torchvision's epsilon; the difference is printed."""
    frozen = torchvision_v1()
    frozen.load_state_dict(v1.state)
    other = imported(frozen, tmp_path, state=v1.state)
    assert "epsilon" in capsys.readouterr().out
    theirs = frozen.backbone.body(IMAGE[None])
    ours = adept_hub.load_pretrained(other.folder, num_classes=CLASSES).eval().backbone.body(IMAGE[None])
    for a, b in zip(ours.values(), theirs.values(), strict=True):
        torch.testing.assert_close(a, b)
    assert published_layout("258fb6c6" + "0" * 56) == published_layout("bf2d0c1e" + "0" * 56) == "torchvision-coco-v1"
    assert published_layout("dd69338a" + "0" * 56) is None


def test_an_epsilon_of_0_is_not_lost_in_memory(v1, v2, tmp_path):
    with pytest.raises(UnsupportedModelError, match=r"epsilon of 0, .*\n.*adept import"):
        adept_hub.save_pretrained(v1.model, tmp_path / "saved", name="torchvision_r50.mine")
    before = v1.model.backbone.body.conv1.weight.clone()
    with pytest.raises(UnsupportedModelError, match=r"epsilon of 0, .*\n.*setattr"):
        adept_hub.load_into(v1.model, v2.folder, parts=("backbone",))
    assert torch.equal(v1.model.backbone.body.conv1.weight, before)


def test_a_detector_of_no_published_kind_is_refused(v2):
    state = {key: t for key, t in v2.state.items() if not (key.startswith("backbone.body") and "tracked" in key)}
    assert recognize_layout(state) == "torchvision-detector"
    with pytest.raises(UnsupportedModelError, match=r"norms backbone frozen_bn.*\n.*save_pretrained"):
        import_layout(state, "torchvision-detector")


def test_torchvision_s_own_model_takes_the_imported_weights(v1):
    mine = torchvision_v1()
    report = adept_hub.load_into(mine, v1.folder)
    state, theirs = mine.state_dict(), v1.model.state_dict()
    parts = [key for key in state if "predictor" not in key and "mask" not in key]
    assert report.loaded == len(parts) == 100 + 16 + 6 + 4
    for key in parts:  # gains have taken up the epsilon
        assert torch.equal(state[key], theirs[key]) or key.endswith(".weight"), key
