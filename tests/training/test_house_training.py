"""The house's facts through fine-tuning, evaluation and deployment: a default filled in anywhere is seen."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import adept_hub
from adept_hub.cards.card import render_card
from adept_hub.checkpoint.folder import read_config
from adept_hub.cli.main import main
from adept_hub.detectors.folder import read_detector
from adept_hub.spec import AnchorSpec, Start
from adept_training.comparing.compare import make_plan
from adept_training.deploying.deploy import deploy
from adept_training.finetuning.detector import build_detector
from adept_training.finetuning.recipe import load_finetune_recipe
from adept_training.finetuning.run import finetune
from adept_training.labels.datasets import open_data
from adept_training.metrics.predict import predict
from tests.house import (
    ANCHORS,
    AP_HALF,
    AP_PERFECT,
    LICENSE,
    NAME,
    PIXELS,
    SPEC,
    TUNE,
    House,
    HouseData,
    network_input,
    photograph,
    write_house,
    write_house_data,
)

QUICK = (*TUNE, "schedule.iterations=1", "engine.evaluations=0")


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one iteration from the house on the house's labels."""
    folder, recipe = tmp_path_factory.mktemp("tuned"), load_finetune_recipe(None, QUICK)
    house, data = write_house(folder / "house"), write_house_data(folder / "photographs")
    finetune(house.source, open_data(data.words()), recipe, folder / "run", accelerator="cpu")
    return folder / "run"


def seen_by(model, image: Tensor) -> Tensor:
    """What a torchvision detector's network is given for an image of the very size that it looks at."""
    batch, _ = model.transform([image.float() / 255])
    return batch.tensors[0, :, : image.shape[1], : image.shape[2]]


@torch.no_grad()
def test_a_fine_tuned_detector_keeps_the_house_s_facts(tuned: Path, house: House) -> None:
    config = read_config(tuned / "last")
    assert (config.preprocessing, config.spec, config.license) == (PIXELS, SPEC, LICENSE)
    assert config.provenance.starts == (Start(NAME, house.config.sha256, LICENSE),)
    assert (config.provenance.labeled, config.provenance.images, config.provenance.epochs) == (True, 2, 1.0)
    image = photograph(64, 88)
    again = adept_hub.load_pretrained(tuned / "last", num_classes=4, min_size=64, max_size=90).eval()
    for model in (read_detector(tuned / "last")[0], again):
        torch.testing.assert_close(seen_by(model, image), network_input(image), rtol=0, atol=1e-5)
        assert tuple(size for (size,) in model.rpn.anchor_generator.sizes) == ANCHORS
        assert model.rpn.anchor_generator.aspect_ratios[0] == (0.4, 1.7)
    card = render_card(config)
    assert f"| started from | {NAME}, {LICENSE}, SHA-256 {house.config.sha256} |" in card
    assert "0.1, 0.2, 0.3; 0.4, 0.5, 0.6" in card
    assert f"license: {LICENSE}" in card
    assert "trained without labels" not in card


def test_a_reloaded_detector_is_scored_on_the_pixels_that_it_was_trained_on(tuned: Path, house_data: HouseData) -> None:
    """What the network is given for every image, in the evaluation that the command makes."""
    split = open_data(house_data.words()).val
    model, _ = read_detector(tuned / "last")
    seen: list[Tensor] = []
    model.backbone.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    predict(model, split)
    for image, given in zip(split.images, seen, strict=True):
        # Resizing keeps an image's mean to a few percent.
        mean = torch.from_numpy(np.array(Image.open(image.path))).float().mean(dim=(0, 1))
        expected = (mean / 255 - torch.tensor([0.1, 0.2, 0.3])) / torch.tensor([0.4, 0.5, 0.6])
        scale = min(64 / min(image.height, image.width), 90 / max(image.height, image.width))
        rows, columns = int(image.height * scale), int(image.width * scale)
        torch.testing.assert_close(given[0, :, :rows, :columns].mean(dim=(1, 2)), expected, rtol=0, atol=0.02)


@pytest.mark.frameworks
@pytest.mark.parametrize("framework", ["torchvision", "detectron2", "mmdet"])
@torch.no_grad()
def test_a_deployed_detector_has_the_house_s_pixels_and_anchors(framework: str, tuned: Path, tmp_path: Path) -> None:
    from tests.convert.probes import PROBES
    from tests.test_house import anchors_of, assert_anchors

    deploy(tuned / "last", framework, tmp_path / "out")
    image = photograph(64, 88)
    if framework == "torchvision":
        model = runpy.run_path(str(tmp_path / "out" / "build_model.py"))["build_detector"]()
        found = seen_by(model, image)
    else:
        probe = PROBES[framework](tmp_path / "out")
        model, found = probe.model, probe.normalized(image)[..., :88]
    torch.testing.assert_close(found, network_input(image), rtol=0, atol=1e-4)
    assert_anchors(anchors_of(framework, model))


@pytest.mark.parametrize(("framework", "name"), [("detectron2", "config.yaml"), ("mmdet", "config.py")])
def test_a_deployed_config_states_the_house_s_facts(framework: str, name: str, tuned: Path, tmp_path: Path) -> None:
    deploy(tuned / "last", framework, tmp_path / "out")
    text = "".join((tmp_path / "out" / name).read_text().split()).replace("-", "")
    for numbers in (("25.5", "51.0", "76.5"), ("102.0", "127.5", "153.0"), ("0.4", "1.7")):
        assert ",".join(numbers) in text or "".join(numbers) in text, numbers
    assert "123.675" not in text
    assert "0.5,1.0,2.0" not in text


@torch.no_grad()
def test_an_onnx_graph_has_the_house_s_pixels(tuned: Path, tmp_path: Path) -> None:
    """Detections at a threshold that all pass agree with those of a detector whose input is worked out here."""
    ort = pytest.importorskip("onnxruntime", reason="needs the extra onnx")
    deploy(tuned / "last", "onnx", tmp_path / "out")
    session = ort.InferenceSession(str(tmp_path / "out" / "model.onnx"), providers=["CPUExecutionProvider"])
    image = photograph(64, 88)
    boxes, _, scores = session.run(None, {"image": (image.float() / 255).numpy()})
    model, _ = read_detector(tuned / "last")
    model.transform.image_mean, model.transform.image_std = [0.0] * 3, [1.0] * 3
    expected = model([network_input(image)])[0]
    assert len(scores) > 5
    torch.testing.assert_close(torch.from_numpy(scores), expected["scores"], rtol=0, atol=1e-4)
    torch.testing.assert_close(torch.from_numpy(boxes), expected["boxes"], rtol=0, atol=1e-2)


def test_a_detector_is_saved_with_the_anchors_that_it_was_trained_on(
    house: House, house_data: HouseData, tmp_path: Path
) -> None:
    recipe = load_finetune_recipe(None, [*QUICK, "detector.anchors=[12,22,42,82,162]"])
    finetune(house.source, open_data(house_data.words()), recipe, tmp_path / "run", accelerator="cpu")
    assert read_config(tmp_path / "run" / "last").spec.anchors == AnchorSpec(
        (12.0, 22.0, 42.0, 82.0, 162.0), (0.4, 1.7)
    )


def test_scratch_is_like_the_house_in_pixels_and_anchors(house: House, house_data: HouseData, tmp_path: Path) -> None:
    data = open_data(house_data.words())
    finetune("scratch", data, load_finetune_recipe(None, QUICK), tmp_path, like=house.source, accelerator="cpu")
    config = read_config(tmp_path / "last")
    assert (config.preprocessing, config.spec) == (PIXELS, SPEC)
    assert (config.license, config.provenance.starts) == ("unstated", ()), "its architecture alone is the house's"
    plan = make_plan({"scratch": "scratch", "house": house.source}, ["100%"], 1, {"": load_finetune_recipe(None)})
    model = build_detector("scratch", 3, plan.variants[""].detector, 0, plan.spec, plan.pixels)
    assert (model.transform.image_mean, model.transform.image_std) == ([0.1, 0.2, 0.3], [0.4, 0.5, 0.6])


@pytest.mark.parametrize(("which", "found", "ap"), [("val", "perfect", AP_PERFECT), ("other", "half", AP_HALF)])
def test_each_validation_has_its_known_ap(which: str, found: str, ap: float, house_data: HouseData, capsys) -> None:
    """Both files number their images alike; the detections of one are not the other's."""
    annotations, detections = getattr(house_data, which), getattr(house_data, found)
    words = ["evaluate", "x", "--data", *house_data.words(house_data.train, annotations)]
    assert main([*words, "--detections", str(detections), "--json"]) == 0
    metrics = json.loads(capsys.readouterr().out)["metrics"]
    assert metrics["AP"] == pytest.approx(ap, abs=1e-3)
