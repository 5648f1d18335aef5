"""The house's facts through load, create, export, load_into, save and push: a default filled in anywhere is seen."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.rpn import RPNHead

import adept_hub
from adept_hub.checkpoint.folder import read_config
from adept_hub.convert.facts import merge
from adept_hub.doctor import diagnose
from adept_hub.errors import UnsupportedModelError
from adept_hub.frameworks import DETECTRON2, MMDET, TORCHVISION
from adept_hub.frameworks.detectron2.facts import detectron2_facts
from adept_hub.frameworks.mmdet.facts import MMDET_STOCK, mmdet_facts
from adept_hub.frameworks.torchvision.facts import TORCHVISION_STOCK
from adept_hub.spec import AnchorSpec
from tests.convert.probes import PROBES
from tests.house import ANCHORS, LICENSE, PIXELS, SPEC, House, network_input, photograph

FRAMEWORKS = ("torchvision", "detectron2", "mmdet")


def assert_same(found: list[Tensor], expected: list[Tensor], tolerance: float = 1e-4) -> None:
    for a, b in zip(found[: len(expected)], expected, strict=True):
        assert a.shape == b.shape
        assert (a - b).abs().max() < tolerance * b.abs().max()


@torch.no_grad()
def test_a_loaded_detector_sees_the_house_s_pixels(house: House) -> None:
    model = adept_hub.load_pretrained(house.folder, num_classes=4, min_size=64, max_size=96).eval()
    image = photograph()
    batch, _ = model.transform([image.float() / 255])
    torch.testing.assert_close(batch.tensors[0], network_input(image), rtol=0, atol=1e-5)
    assert_same(list(model.backbone(batch.tensors).values()), house.features(image))
    assert tuple(size for (size,) in model.rpn.anchor_generator.sizes) == ANCHORS
    assert model.rpn.anchor_generator.aspect_ratios[0] == (0.4, 1.7)
    assert model.checkpoint_config == house.config
    assert model.load_report.license == LICENSE
    assert adept_hub.load_into(model, house.folder).license == LICENSE


def test_the_level_assignment_of_the_house(house: House) -> None:
    model = adept_hub.load_pretrained(house.folder, levels="pretraining")
    sides = torch.tensor([35.0, 37, 71, 73, 143, 145])
    boxes_K4 = torch.stack([torch.zeros(6), torch.zeros(6), sides, sides], dim=1)
    pool, place = model.roi_heads.box_roi_pool, torch.arange(4.0)
    maps = {f"p{i + 2}": place[i].expand(1, 1, 640 >> (i + 2), 640 >> (i + 2)) for i in range(4)}
    levels_K = pool(maps, [boxes_K4], [(640, 640)]).amax(dim=(1, 2, 3))
    assert levels_K.round().tolist() == [0, 1, 1, 2, 2, 3]


@pytest.mark.frameworks
@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("detector", ["faster_rcnn", "mask_rcnn", "cascade_rcnn"])
@torch.no_grad()
def test_an_export_has_the_house_s_pixels_and_anchors(
    framework: str, detector: str, house: House, tmp_path: Path
) -> None:
    """Read off what the framework itself builds from the config, and off the features that it computes."""
    adept_hub.export(house.folder, framework, tmp_path / "out", detector=detector, num_classes=4)
    probe = PROBES[framework](tmp_path / "out")
    image = photograph()
    found = probe.normalized(image)
    torch.testing.assert_close(found, network_input(image), rtol=0, atol=1e-4)
    assert_same(probe.pyramid(found[None]), house.features(image))
    assert_anchors(anchors_of(framework, probe.model))


@pytest.mark.parametrize(
    ("framework", "name", "facts"),
    [
        ("detectron2", "config.yaml", ("PIXEL_MEAN: [25.5, 51.0, 76.5]", "PIXEL_STD: [102.0, 127.5, 153.0]",
                                       "SIZES: [[11.0], [23.0], [47.0], [90.0], [180.0]]",
                                       "ASPECT_RATIOS: [[0.4, 1.7]]", 'FORMAT: "RGB"')),
        ("mmdet", "config.py", ("mean=[25.5, 51.0, 76.5], std=[102.0, 127.5, 153.0], bgr_to_rgb=True",
                                "base_sizes=[11.0, 23.0, 47.0, 90.0, 180.0], ratios=[0.4, 1.7]", "finest_scale=18")),
        ("torchvision", "build_model.py", ("image_mean=[0.1, 0.2, 0.3]", "image_std=[0.4, 0.5, 0.6]",
                                           "ANCHOR_SIZES = (11.0, 23.0, 47.0, 90.0, 180.0)",
                                           "ANCHOR_RATIOS = (0.4, 1.7)", "CANONICAL_SIZE = 72.0")),
    ],
)  # fmt: skip
def test_an_exported_config_states_the_house_s_facts(
    framework: str, name: str, facts: tuple[str, ...], house: House, tmp_path: Path
) -> None:
    levels = "stock" if framework == "detectron2" else "pretraining"
    adept_hub.export(house.folder, framework, tmp_path / "out", num_classes=4, levels=levels)
    text = (tmp_path / "out" / name).read_text()
    for fact in facts:
        assert fact in text, fact


def anchors_of(framework: str, model: nn.Module) -> list[Tensor]:
    """Anchors around the origin, P2-P6, as the framework's own generator holds them."""
    if framework == "torchvision":
        return list(model.rpn.anchor_generator.cell_anchors)
    if framework == "detectron2":
        return list(model.proposal_generator.anchor_generator.cell_anchors)
    return list(model.rpn_head.prior_generator.base_anchors)


def assert_anchors(found: list[Tensor]) -> None:
    for cell, size in zip(found, ANCHORS, strict=True):
        sides = [(size / ratio**0.5, size * ratio**0.5) for ratio in (0.4, 1.7)]
        expected = torch.tensor([[-w / 2, -h / 2, w / 2, h / 2] for w, h in sides])
        torch.testing.assert_close(cell.float(), expected, rtol=1e-5, atol=1e-4)


@pytest.mark.frameworks
@pytest.mark.parametrize("framework", FRAMEWORKS)
@torch.no_grad()
def test_load_into_gives_a_framework_s_model_the_house_s_features(
    framework: str, house: House, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    adept_hub.export(house.folder, framework, tmp_path / "out", num_classes=4)
    probe = PROBES[framework](tmp_path / "out")
    for tensor in probe.model.state_dict().values():
        tensor.fill_(1)
    recwarn.clear()
    report = adept_hub.load_into(probe.model, house.folder)
    assert not [w for w in recwarn if "pixels" in str(w.message)], "its pixels are the house's"
    assert "pixels" not in str(report)
    image = photograph()
    assert_same(probe.pyramid(network_input(image)[None]), house.features(image))


@pytest.mark.frameworks
@pytest.mark.parametrize(
    ("framework", "spoil", "remedy"),
    [
        ("torchvision", lambda m: setattr(m.transform, "image_std", [0.229, 0.224, 0.225]),
         "pass image_std=[0.4, 0.5, 0.6]"),
        ("detectron2", lambda m: m.pixel_std.fill_(1.0), "set MODEL.PIXEL_STD to [102.0, 127.5, 153.0]"),
        ("detectron2", lambda m: setattr(m, "input_format", "BGR"), 'set INPUT.FORMAT to "RGB"'),
        ("mmdet", lambda m: m.data_preprocessor.mean.fill_(123.0),
         "set data_preprocessor.mean=[25.5, 51.0, 76.5]"),
    ],
)  # fmt: skip
def test_load_into_tells_of_a_model_with_other_pixels(
    framework: str, spoil: Callable[[Any], Any], remedy: str, house: House, tmp_path: Path
) -> None:
    adept_hub.export(house.folder, framework, tmp_path / "out", num_classes=4)
    model = PROBES[framework](tmp_path / "out").model
    spoil(model)
    with pytest.warns(UserWarning, match=re.escape(remedy)) as caught:
        report = adept_hub.load_into(nn.ModuleDict({"module": model}), house.folder)
    assert [w.filename for w in caught if "the weights need" in str(w.message)] == [__file__]
    assert remedy in str(report)


@torch.no_grad()
def test_a_saved_detector_keeps_the_facts_that_it_was_loaded_with(house: House, tmp_path: Path) -> None:
    model = adept_hub.load_pretrained(house.folder, num_classes=4)
    saved = adept_hub.save_pretrained(model, tmp_path / "saved", name="adept_joint_r18_fpn24.again")
    assert (saved.spec, saved.preprocessing, saved.license) == (SPEC, PIXELS, LICENSE)
    again = read_config(tmp_path / "saved")
    assert (again.spec, again.preprocessing, again.license) == (SPEC, PIXELS, LICENSE)
    card = (tmp_path / "saved" / "README.md").read_text()
    for fact in ("0.1, 0.2, 0.3; 0.4, 0.5, 0.6", "11, 23, 47, 90 px", "0.4, 1.7", "36, 72, 144, 170", LICENSE):
        assert fact in card, fact


def test_a_saved_detector_says_which_anchors_it_really_has(house: House, tmp_path: Path) -> None:
    """Its RPN means what it says on those that it was built with, whatever its origin's were."""
    model = adept_hub.load_pretrained(house.folder, num_classes=4, anchors="downstream")
    saved = adept_hub.save_pretrained(model, tmp_path / "saved", name="adept_joint_r18_fpn24.again")
    assert saved.spec.anchors == AnchorSpec((32.0, 64.0, 128.0, 256.0), (0.4, 1.7))
    assert saved.spec.levels == SPEC.levels
    assert adept_hub.load_pretrained(tmp_path / "saved").rpn.anchor_generator.sizes[0] == (32.0,)
    del model.checkpoint_config  # a detector of nobody's: its generator says so still
    saved = adept_hub.save_pretrained(model, tmp_path / "again", name="adept_joint_r18_fpn24.again")
    assert (saved.spec.anchors.sizes[0], saved.spec.anchors.ratios, saved.preprocessing) == (32.0, (0.4, 1.7), PIXELS)


def test_anchors_that_a_checkpoint_cannot_describe_are_refused_with_the_rpn(house: House, tmp_path: Path) -> None:
    model = adept_hub.load_pretrained(house.folder, num_classes=4)
    model.rpn.anchor_generator = AnchorGenerator(((8, 16),) * 5, ((1.0,),) * 5)
    with pytest.raises(UnsupportedModelError, match=r"parts=\('backbone', 'fpn', 'head'\)"):
        adept_hub.save_pretrained(model, tmp_path / "saved", name="adept_joint_r18_fpn24.again")
    parts = ("backbone", "fpn", "head")
    saved = adept_hub.save_pretrained(model, tmp_path / "saved", name="adept_joint_r18_fpn24.again", parts=parts)
    assert saved.parts == parts


def test_the_remedies_of_doctor_are_the_house_s_facts(house: House) -> None:
    """Followed word by word, they give anchors that doctor does not complain of."""
    told = {f.code: f.remedy for f in diagnose(mmdet_facts(MMDET_STOCK), house.config, MMDET)}
    assert told["anchors"] == "set anchor_generator.ratios=[0.4, 1.7] and one scale"
    words = "scales=[1], base_sizes=[11.0, 23.0, 47.0, 90.0, 180.0], strides=[4, 8, 16, 32, 64]"
    assert told["anchor_sizes"] == f"set anchor_generator to {words}", "rescaling cannot be advised: levels differ"
    generator = eval(f"dict({words}, ratios=[0.4, 1.7])")
    followed = merge(MMDET_STOCK, {"rpn_head": {"anchor_generator": generator}})
    assert not {"anchors", "anchor_sizes"} & {f.code for f in diagnose(mmdet_facts(followed), house.config, MMDET)}
    told = {f.code: f.remedy for f in diagnose(detectron2_facts({}), house.config, DETECTRON2)}
    assert told["anchors"].startswith("set MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS to [[0.4, 1.7]]")
    assert told["mean"] == "set MODEL.PIXEL_MEAN to [25.5, 51.0, 76.5]"
    told = {f.code: f.remedy for f in diagnose(TORCHVISION_STOCK, house.config, TORCHVISION)}
    assert told["std"] == "pass image_std=[0.4, 0.5, 0.6]"
    assert "aspect_ratios=([0.4, 1.7],) * 5" in told["anchors"]


def test_a_model_with_other_anchors_is_told_the_house_s(house: House) -> None:
    model = adept_hub.load_pretrained(house.folder, num_classes=4)
    model.rpn.head = RPNHead(24, 3, conv_depth=1)
    with pytest.raises(UnsupportedModelError, match=r"3 anchors .*, but the weights have 2.*\(\[0.4, 1.7\],\) \* 5"):
        adept_hub.load_into(model, house.folder)
