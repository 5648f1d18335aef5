"""A fine-tuned detector finds the same things in a photograph wherever it is deployed to."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor
from torchvision.ops import batched_nms

from adept_hub.cli.main import main
from adept_hub.detectors.folder import read_detector
from adept_hub.errors import UnsupportedDetectorError
from adept_hub.frameworks import FRAMEWORKS
from adept_training.deploying.deploy import deploy
from tests.frameworks.fourth import VISIONARY
from tests.frameworks_support import SMALL, one_thread, random_tensors, register_mmdet  # noqa: F401  # an autouse fixture
from tests.training.deploying.conftest import DETECTORS, PHOTOS


class Detected(NamedTuple):
    """Detections in the network's input; masks are 28 x 28 probabilities in their boxes."""

    boxes_D4: Tensor
    labels_D: Tensor
    scores_D: Tensor
    masks_DHW: Tensor | None = None


def photograph() -> Tensor:
    """RGB in [0, 1], of the very size that the detector looks at."""
    picture = Image.open(PHOTOS / "chelsea.jpg").convert("RGB").resize((144, 96))
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1).float() / 255


def detect(model, image: Tensor) -> Detected:
    batch, _ = model.transform([image])
    assert batch.tensors.shape[-2:] == (96, 160)  # nothing but padding
    features = model.backbone(batch.tensors)
    (found,), _ = model.roi_heads(features, model.rpn(batch, features)[0], batch.image_sizes)
    masks = found["masks"][:, 0] if "masks" in found else None
    return Detected(found["boxes"], found["labels"], found["scores"], masks)


def detect_detectron2(folder: Path, image: Tensor) -> Detected:
    from detectron2.checkpoint import DetectionCheckpointer
    from detectron2.config import get_cfg
    from detectron2.modeling import build_model

    cfg = get_cfg()
    cfg.merge_from_file(str(folder / "config.yaml"))
    assert (cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST) == (96, 160)
    cfg.MODEL.DEVICE = "cpu"
    model = build_model(cfg).eval()
    DetectionCheckpointer(model).load(cfg.MODEL.WEIGHTS)
    inputs = {"image": image * 255, "height": image.shape[1], "width": image.shape[2]}
    (found,) = model.inference([inputs], do_postprocess=False)
    masks = found.pred_masks[:, 0] if found.has("pred_masks") else None
    return Detected(found.pred_boxes.tensor, found.pred_classes + 1, found.scores, masks)


def detect_mmdet(folder: Path, image: Tensor) -> Detected:
    register_mmdet()
    from mmdet.registry import MODELS
    from mmdet.structures import DetDataSample
    from mmengine.config import Config
    from mmengine.runner import load_checkpoint

    cfg = Config.fromfile(str(folder / "config.py"))
    (resize,) = (step for step in cfg.test_dataloader.dataset.pipeline if step["type"] == "Resize")
    assert tuple(resize["scale"]) == (160, 96)
    model = MODELS.build(cfg.model).eval()
    loaded = load_checkpoint(model, cfg.load_from, map_location="cpu", strict=True)
    assert loaded["meta"]["dataset_meta"]["classes"] == ["a", "b's", "c"]
    logits = []
    if model.with_mask:
        model.roi_head.mask_head.register_forward_hook(lambda _, __, output: logits.append(output))
    size = tuple(image.shape[-2:])
    sample = DetDataSample(metainfo={"img_shape": size, "ori_shape": size, "scale_factor": (1.0, 1.0)})
    given = {"inputs": [(image.flip(0) * 255)], "data_samples": [sample]}
    (found,) = model.test_step(given)
    found = found.pred_instances
    masks = logits[0].sigmoid()[torch.arange(len(found)), found.labels] if logits else None
    return Detected(found.bboxes, found.labels + 1, found.scores, masks)


def detect_torchvision(folder: Path, image: Tensor) -> Detected:
    return detect(runpy.run_path(str(folder / "build_model.py"))["build_detector"](), image)


DETECT = {"torchvision": detect_torchvision, "detectron2": detect_detectron2, "mmdet": detect_mmdet}


def with_mean_logits(model) -> None:
    """Make our Cascade R-CNN average its stages' logits, as MMDetection does, where Detectron2 has probabilities."""
    heads = model.roi_heads

    def forward(features, proposals, shapes, _=None):
        logits = []
        for stage in range(3):
            scores, deltas = heads.run_stage(stage, features, proposals, shapes)
            logits.append(scores)
            proposals = heads.refine(stage, deltas, proposals, shapes)
        boxes, scores = proposals[0], (sum(logits) / 3).softmax(dim=1)
        index, label = torch.where(scores[:, 1:] > heads.score_thresh)
        keep = batched_nms(boxes[index], scores[index, label + 1], label, 0.5)[: heads.detections_per_img]
        index, label = index[keep], label[keep] + 1
        return [{"boxes": boxes[index], "labels": label, "scores": scores[index, label]}], {}

    heads.forward = forward


@pytest.mark.frameworks
@pytest.mark.parametrize("detector", DETECTORS)
@pytest.mark.parametrize("framework", DETECT)
@torch.no_grad()
def test_a_photograph_has_the_same_things_in_it(framework: str, detector: str, tune, tmp_path: Path) -> None:
    if framework != "torchvision":
        pytest.importorskip({"mmdet": "mmdet"}.get(framework, "detectron2"), reason="needs make frameworks")
    folder = tune(detector)
    deploy(folder, framework, tmp_path / "out")
    ours, _ = read_detector(folder)
    if (framework, detector) == ("mmdet", "cascade_rcnn"):
        with_mean_logits(ours)
    expected, found = detect(ours, photograph()), DETECT[framework](tmp_path / "out", photograph())
    assert len(found.scores_D) == len(expected.scores_D) > 10
    assert len(set(expected.labels_D.tolist())) > 1
    assert expected.scores_D.min() > 0.11
    torch.testing.assert_close(found.boxes_D4, expected.boxes_D4, rtol=0, atol=1e-2)
    assert torch.equal(found.labels_D, expected.labels_D)
    torch.testing.assert_close(found.scores_D, expected.scores_D, rtol=1e-4, atol=1e-5)
    if detector == "mask_rcnn":
        assert expected.masks_DHW is not None
        assert expected.masks_DHW.std() > 0.05
        torch.testing.assert_close(found.masks_DHW, expected.masks_DHW, rtol=0, atol=1e-4)


@pytest.mark.frameworks
@pytest.mark.parametrize("framework", ["detectron2", "mmdet"])
def test_the_frameworks_shrink_an_image_as_training_did(framework: str, tune, tmp_path: Path) -> None:
    """To a gray level or two: PIL rounds after each pass. A photograph of 256 x 384 becomes 96 x 144 in all three."""
    pytest.importorskip(framework, reason="needs make frameworks")
    picture = Image.open(PHOTOS / "chelsea.jpg").convert("RGB").resize((384, 256))
    pixels_HWC = np.asarray(picture)
    folder = tune()
    deploy(folder, framework, tmp_path / "out")
    ours, _ = read_detector(folder)
    expected_HWC = ours.transform.resize(torch.from_numpy(pixels_HWC.copy()).permute(2, 0, 1) / 255)[0].permute(1, 2, 0)
    if framework == "detectron2":
        from detectron2.config import get_cfg
        from detectron2.data.transforms import ResizeShortestEdge

        cfg = get_cfg()
        cfg.merge_from_file(str(tmp_path / "out" / "config.yaml"))  # as detectron2.engine.DefaultPredictor
        resize = ResizeShortestEdge([cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MIN_SIZE_TEST], cfg.INPUT.MAX_SIZE_TEST)
        found_HWC = resize.get_transform(pixels_HWC).apply_image(pixels_HWC)
    else:
        register_mmdet()
        from mmdet.registry import TRANSFORMS
        from mmengine.config import Config

        steps = Config.fromfile(str(tmp_path / "out" / "config.py")).test_dataloader.dataset.pipeline
        resize = TRANSFORMS.build(next(step for step in steps if step["type"] == "Resize"))
        found_HWC = resize({"img": pixels_HWC, "img_shape": pixels_HWC.shape[:2]})["img"]
    assert found_HWC.shape == expected_HWC.shape == (96, 144, 3)
    assert np.abs(found_HWC.astype(np.float64) - expected_HWC.numpy() * 255).max() < 1.6


@torch.no_grad()
def test_torchvision_s_folder_holds_the_whole_detector(tune, tmp_path: Path) -> None:
    folder = tune(classifier="cosine")
    assert main(["deploy", str(folder), "--to", "torchvision", "--out", str(tmp_path / "tv")]) == 0
    ours, _ = read_detector(folder)
    state, expected = load_file(tmp_path / "tv" / "model.safetensors"), ours.state_dict()
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[key], expected[key]) for key in expected)
    built = runpy.run_path(str(tmp_path / "tv" / "build_model.py"))
    larger = torch.from_numpy(np.array(Image.open(PHOTOS / "chelsea.jpg").convert("RGB"))).permute(2, 0, 1) / 255
    assert min(larger.shape[1:]) > 2 * 96, "an image that shrinks"
    assert built["CLASSES"] == ("a", "b's", "c")
    for image in (photograph(), larger):
        found, ours_found = built["build_detector"]()([image])[0], ours([image])[0]
        assert len(found["scores"]) > 10
        assert all(torch.equal(found[key], ours_found[key]) for key in found)


def test_what_cannot_be_deployed_is_refused(tune, tmp_path: Path, capsys, monkeypatch) -> None:
    folder = tune(classifier="cosine")
    assert main(["deploy", str(folder), "--to", "mmdet", "--out", str(tmp_path / "o")]) == 1
    assert "--to torchvision" in capsys.readouterr().err
    assert main(["deploy", str(tmp_path / "source"), "--to", "mmdet", "--out", str(tmp_path / "o")]) == 1
    assert "no fine-tuned detector" in capsys.readouterr().err
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    assert main(["deploy", str(folder), "--to", "onnx", "--out", str(tmp_path / "full")]) == 1
    assert "not empty" in capsys.readouterr().err
    monkeypatch.setattr("adept_training.deploying.onnx_graph.importlib.util.find_spec", lambda _: None)
    assert main(["deploy", str(folder), "--to", "onnx", "--out", str(tmp_path / "o")]) == 1
    assert "pip install '.[onnx]'" in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


def test_a_framework_that_is_only_registered(tune, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FRAMEWORKS, VISIONARY.name, VISIONARY)
    paths = deploy(tune(), VISIONARY.name, tmp_path / "out")
    assert [path.name for path in paths] == ["weights.pt", "settings.visionary", "classes.json"]
    content = torch.load(paths[0], weights_only=True)
    assert content["labels"] == ["a", "b's", "c"]
    ours = read_detector(tmp_path / "best")[0].state_dict()["roi_heads.box_predictor.cls_score.bias"]
    assert torch.equal(content["network"]["regions.bbox_head.fc_cls.bias"], ours)  # the background is first there, too
    settings = json.loads(paths[1].read_text())
    assert (settings["score"], settings["classes"]) == (0.11, ["a", "b's", "c"])
    with pytest.raises(UnsupportedDetectorError, match=r"which stock visionary lacks\.\nWith it: .*--to torchvision"):
        deploy(tune(classifier="cosine"), VISIONARY.name, tmp_path / "cosine")
