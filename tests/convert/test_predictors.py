"""Fine-tuned detectors in another framework: the same boxes, labels, scores and masks."""

from __future__ import annotations

import pytest
import torch

from adept_hub.convert.export import export_state, import_state, write_export
from adept_hub.convert.options import Target
from adept_hub.convert.predictors import convert_detector
from adept_hub.errors import IncompleteLoadError, UnknownKeyError
from adept_hub.frameworks import DETECTRON2, FRAMEWORKS, MMDET, TORCHVISION
from tests.convert.probes import PROBES, canonical_probe
from tests.frameworks_support import (
    SMALL,
    config_of,
    one_thread,  # noqa: F401  # an autouse fixture
    random_tensors,
)

DETECTORS = ("faster_rcnn", "mask_rcnn", "cascade_rcnn")
SHAPE = (96, 160)


def fine_tuned(detector):
    """The library's detector with random predictors and a mask head whose statistics are random, too."""
    model = canonical_probe(SMALL, random_tensors(SMALL), detector).model
    generator = torch.Generator().manual_seed(21)
    with torch.no_grad():
        for key, tensor in model.state_dict().items():
            if "predictor" not in key and "mask_head" not in key:
                continue
            if key.endswith("running_var"):
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
            elif tensor.is_floating_point():
                scale = 0.03 if "bbox_pred" in key else max(1, tensor[0].numel()) ** -0.5
                tensor.copy_(torch.randn(tensor.shape, generator=generator) * scale)
    return model


def detect_torchvision(model, images, boxes):
    found, _ = model.roi_heads(model.backbone(images), boxes, [SHAPE] * len(boxes))
    return [(f["boxes"], f["labels"], f["scores"], f.get("masks")) for f in found]


def detect_detectron2(model, images, boxes):
    from detectron2.structures import Boxes, Instances

    given = [Instances(SHAPE, proposal_boxes=Boxes(b.clone()), objectness_logits=torch.zeros(len(b))) for b in boxes]
    found, _ = model.roi_heads(None, model.backbone(images), given)
    return [
        (f.pred_boxes.tensor, f.pred_classes + 1, f.scores, f.pred_masks if f.has("pred_masks") else None)
        for f in found
    ]


def detect_mmdet(model, images, boxes):
    from mmdet.structures import DetDataSample
    from mmengine.structures import InstanceData

    meta = {"img_shape": SHAPE, "ori_shape": SHAPE, "scale_factor": (1.0, 1.0)}
    samples = [DetDataSample(metainfo=meta) for _ in boxes]
    given = [InstanceData(bboxes=b.clone(), scores=torch.zeros(len(b)), labels=torch.zeros(len(b))) for b in boxes]
    model.roi_head.test_cfg.mask_thr_binary = -1
    found = model.roi_head.predict(model.extract_feat(images), given, samples, rescale=False)
    return [(f.bboxes, f.labels + 1, f.scores, None) for f in found]


DETECT = {"detectron2": detect_detectron2, "mmdet": detect_mmdet, "torchvision": detect_torchvision}


def inputs():
    generator = torch.Generator().manual_seed(22)
    corner = torch.rand(2, 40, 2, generator=generator) * torch.tensor([110.0, 50.0])
    size = torch.rand(2, 40, 2, generator=generator) * 40 + 8
    return torch.randn(2, 3, *SHAPE, generator=generator), list(torch.cat([corner, corner + size], dim=2))


@pytest.mark.frameworks
@pytest.mark.parametrize(
    ("framework", "detector"),
    [(f, d) for f in ("detectron2", "mmdet") for d in DETECTORS if (f, d) != ("mmdet", "cascade_rcnn")],
)
@torch.no_grad()
def test_detections_survive_the_journey(framework, detector, tmp_path):
    ours = fine_tuned(detector)
    write_export(
        random_tensors(SMALL), config_of(SMALL), FRAMEWORKS[framework], tmp_path / "o", Target(detector, num_classes=4)
    )
    theirs = PROBES[framework](tmp_path / "o").model
    state = convert_detector(ours.state_dict(), TORCHVISION, FRAMEWORKS[framework], detector)
    result = theirs.load_state_dict(state, strict=False)
    assert not result.unexpected_keys
    assert not [key for key in result.missing_keys if not key.startswith("pixel_")]
    images, boxes = inputs()
    expected = detect_torchvision(ours, images, boxes)
    for a, b in zip(DETECT[framework](theirs, images, boxes), expected, strict=True):
        assert len(a[0]) == len(b[0]) > 20
        torch.testing.assert_close(a[0], b[0], rtol=0, atol=1e-2)
        assert torch.equal(a[1], b[1])
        torch.testing.assert_close(a[2], b[2], rtol=1e-4, atol=1e-5)
        if a[3] is not None:
            torch.testing.assert_close(a[3], b[3], rtol=1e-3, atol=1e-4)
    if detector == "mask_rcnn" and framework == "mmdet":
        pooled = torch.randn(2, SMALL.fpn_channels, 14, 14)
        heads = ours.roi_heads
        logits = heads.mask_predictor(heads.mask_head(pooled))
        torch.testing.assert_close(theirs.roi_head.mask_head(pooled), logits[:, 1:], rtol=1e-4, atol=1e-4)


@pytest.mark.frameworks
@torch.no_grad()
def test_every_stage_of_mmdet_s_cascade_predicts_the_same(tmp_path):
    """Its detections differ: it averages the stages' logits, where Detectron2 averages their probabilities."""
    ours = fine_tuned("cascade_rcnn").roi_heads
    target = Target("cascade_rcnn", num_classes=4)
    write_export(random_tensors(SMALL), config_of(SMALL), MMDET, tmp_path / "o", target)
    theirs = PROBES["mmdet"](tmp_path / "o").model
    whole = canonical_probe(SMALL, random_tensors(SMALL), "cascade_rcnn").model.state_dict()
    state = {**whole, **{f"roi_heads.{k}": t for k, t in ours.state_dict().items()}}
    theirs.load_state_dict(convert_detector(state, TORCHVISION, MMDET, "cascade_rcnn"), strict=True)
    pooled = torch.randn(6, SMALL.fpn_channels, 7, 7, generator=torch.Generator().manual_seed(5))
    boxes = torch.tensor([[10.0, 10.0, 40.0, 60.0]]).expand(6, 4)
    for stage, head in enumerate(theirs.roi_head.bbox_head):
        logits, deltas = ours.box_predictor[stage](ours.box_head[stage](pooled))
        cls, reg = head(pooled)
        torch.testing.assert_close(cls, logits.roll(-1, 1), rtol=1e-4, atol=1e-5)
        decoded = head.bbox_coder.decode(boxes, reg)
        torch.testing.assert_close(decoded, ours.box_coders[stage].decode_single(deltas, boxes), rtol=0, atol=1e-2)


def fine_tuned_there(framework, detector, folder):
    """The framework's own model, as its user would have it after training: everything of its own is random."""
    write_export(
        random_tensors(SMALL), config_of(SMALL), FRAMEWORKS[framework], folder, Target(detector, num_classes=4)
    )
    model = PROBES[framework](folder).model
    generator = torch.Generator().manual_seed(23)
    for key, tensor in model.state_dict().items():
        if not any(word in key for word in ("predictor", "fc_cls", "fc_reg", "mask_head")):
            continue
        if key.endswith("running_var"):
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
        elif tensor.is_floating_point():
            scale = 0.03 if "bbox_pred" in key or "fc_reg" in key else max(1, tensor[0].numel()) ** -0.5
            tensor.copy_(torch.randn(tensor.shape, generator=generator) * scale)
    return model


@pytest.mark.frameworks
@pytest.mark.parametrize("framework", ["detectron2", "mmdet"])
@pytest.mark.parametrize("detector", DETECTORS)
@torch.no_grad()
def test_a_framework_s_own_detector_comes_home(framework, detector, tmp_path):
    """Its whole state dict, buffers and all, into the library's detector: strictly loaded, the same detections.

    MMDetection's Cascade averages logits: its detections differ, and it is compared through Detectron2's instead.
    """
    theirs = fine_tuned_there(framework, detector, tmp_path / "o")
    whole = theirs.state_dict()
    ours = canonical_probe(SMALL, random_tensors(SMALL), detector).model
    ours.load_state_dict(convert_detector(whole, FRAMEWORKS[framework], TORCHVISION, detector), strict=True)
    images, boxes = inputs()
    if (framework, detector) == ("mmdet", "cascade_rcnn"):
        write_export(
            random_tensors(SMALL), config_of(SMALL), DETECTRON2, tmp_path / "d2", Target(detector, num_classes=4)
        )
        theirs, framework = PROBES["detectron2"](tmp_path / "d2").model, "detectron2"
        result = theirs.load_state_dict(convert_detector(whole, MMDET, DETECTRON2, detector), strict=False)
        assert not result.unexpected_keys
        assert {key.split(".")[0] for key in result.missing_keys} <= {"pixel_mean", "pixel_std"}
    found = detect_torchvision(ours, images, boxes)
    for a, b in zip(DETECT[framework](theirs, images, boxes), found, strict=True):
        assert len(a[0]) == len(b[0]) > 20
        assert len(a[1].unique()) == 3, "every class is found, so that their order matters"
        torch.testing.assert_close(a[0], b[0], rtol=0, atol=1e-2)
        assert torch.equal(a[1], b[1])
        torch.testing.assert_close(a[2], b[2], rtol=1e-4, atol=1e-5)
        if a[3] is not None:
            torch.testing.assert_close(a[3], b[3], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("framework", ["torchvision", "detectron2", "mmdet"])
@pytest.mark.parametrize("detector", DETECTORS)
def test_the_parts_of_a_fine_tuned_detector_become_a_checkpoint_again(framework, detector):
    """Canonical <- framework, with predictors and mask head there and left out."""
    state = fine_tuned(detector).state_dict()
    state = (
        state if framework == "torchvision" else convert_detector(state, TORCHVISION, FRAMEWORKS[framework], detector)
    )
    found = import_state(state, FRAMEWORKS[framework], detector)
    expected = random_tensors(SMALL)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], expected[key]) for key in expected)


@pytest.mark.parametrize("detector", DETECTORS)
@pytest.mark.parametrize("framework", ["detectron2", "mmdet"])
def test_round_trips_lose_only_what_torchvision_never_reads(detector, framework):
    state = fine_tuned(detector).state_dict()
    there = convert_detector(state, TORCHVISION, FRAMEWORKS[framework], detector)
    back = convert_detector(there, FRAMEWORKS[framework], TORCHVISION, detector)
    assert back.keys() == state.keys()
    for key, tensor in state.items():
        unread = {"box_predictor.bbox_pred": 4, "mask_predictor.mask_fcn_logits": 1}
        skip = next((rows for name, rows in unread.items() if name in key), 0)
        assert torch.equal(back[key][skip:] if skip else back[key], tensor[skip:] if skip else tensor), key
    again = convert_detector(back, TORCHVISION, FRAMEWORKS[framework], detector)
    assert all(torch.equal(again[key], there[key]) for key in there)


def test_a_state_without_predictors_is_no_fine_tuned_detector():
    with pytest.raises(IncompleteLoadError, match="import_state"):
        convert_detector(export_state(random_tensors(SMALL), SMALL, MMDET), MMDET, TORCHVISION)


def test_any_unknown_key_raises():
    state = {**fine_tuned("faster_rcnn").state_dict(), "roi_heads.extra.weight": torch.ones(1)}
    with pytest.raises(UnknownKeyError):
        convert_detector(state, TORCHVISION, MMDET)
