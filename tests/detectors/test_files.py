"""A fine-tuned detector's own two files: damaged, hostile, swapped. Each is one error of ours, and nothing is built."""

from __future__ import annotations

import json
import logging
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from adept_hub.checkpoint.folder import read_config, read_tensors, write_checkpoint
from adept_hub.detectors import folder as detector_folder
from adept_hub.detectors.files import DETECTOR, PREDICTORS
from adept_hub.detectors.folder import DetectorConfig, read_detector
from adept_hub.detectors.recipe import DetectorRecipe
from adept_hub.errors import CheckpointError, IntegrityError
from adept_hub.io.digest import sha256_file
from adept_training.finetuning.detector import build_detector, save_detector
from tests.conftest import SMALL

CLASSES = ("cat", "dog", "eel")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    recipe = DetectorRecipe(train_sides=(48,), test_side=48, max_side=64, anchors=(8.0, 16.0, 32.0, 64.0, 128.0))
    model = build_detector("scratch", len(CLASSES), recipe, 0, SMALL)
    with torch.no_grad():  # no default values, behind which an exchange could hide
        for tensor in model.roi_heads.box_predictor.parameters():
            tensor.normal_()
    save_detector(tmp_path / "best", model, DetectorConfig("scratch", CLASSES, recipe, 7, {"AP": 1.5}), SMALL, None)
    return tmp_path / "best"


def rewrite(folder: Path, change: Callable[[dict[str, torch.Tensor]], None], *, honest: bool = True) -> None:
    """Change the predictors; where ``honest``, detector.json promises what they are now."""
    tensors = load_file(folder / PREDICTORS)
    change(tensors)
    save_file(tensors, folder / PREDICTORS, metadata={"format": "pt"})
    if honest:
        path = folder / PREDICTORS
        say(folder, predictors_sha256=sha256_file(path), predictors_size=path.stat().st_size)


def say(folder: Path, **values: Any) -> None:
    content = json.loads((folder / DETECTOR).read_text())
    for name, value in values.items():
        (content["recipe"] if name in content["recipe"] else content)[name] = value
    (folder / DETECTOR).write_text(json.dumps(content))


def refused(folder: Path, match: str, error: type[Exception] = CheckpointError) -> None:
    started = time.monotonic()
    with pytest.raises(error, match=match) as caught:
        read_detector(folder)
    assert time.monotonic() - started < 10
    assert 1 <= len(str(caught.value).splitlines()) <= 3
    assert len(str(caught.value)) < 1000


def test_what_is_written_is_what_is_read(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        model, config = read_detector(folder)
    assert (config.classes, config.iterations, config.predictors_sha256) == (
        CLASSES,
        7,
        sha256_file(folder / PREDICTORS),
    )
    assert torch.equal(
        model.roi_heads.box_predictor.cls_score.weight, load_file(folder / PREDICTORS)["box_predictor.cls_score.weight"]
    )
    assert caplog.text == ""


def test_rows_of_classes_that_are_exchanged(folder: Path) -> None:
    def exchange(tensors: dict[str, torch.Tensor]) -> None:
        weight = tensors["box_predictor.cls_score.weight"]
        tensors["box_predictor.cls_score.weight"] = weight[[0, 2, 1, 3]].clone()

    rewrite(folder, exchange, honest=False)
    refused(folder, "has SHA-256 .* instead of", IntegrityError)


def test_a_folder_without_a_digest_is_refused(folder: Path) -> None:
    content = json.loads((folder / DETECTOR).read_text())
    del content["predictors_sha256"], content["predictors_size"]
    (folder / DETECTOR).write_text(json.dumps(content))
    refused(folder, "has no SHA-256 of predictors.safetensors")


@pytest.mark.parametrize(
    ("version", "remedy"), [(1, "Write it again"), (3, "In the checkout: git pull && pip install")]
)
def test_another_format_is_refused_before_its_keys_are_read(folder: Path, version: int, remedy: str) -> None:
    say(folder, format_version=version, an_unknown_key=1)
    refused(folder, f"has format {version}, but this version of adept-hub reads format 2.\n{remedy}")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite(folder: Path, value: float) -> None:
    rewrite(folder, lambda tensors: tensors["box_predictor.bbox_pred.bias"].__setitem__(3, value))
    refused(folder, "bbox_pred.bias.*NaN or infinity")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda t: t.pop("box_predictor.cls_score.bias"), "it has nothing, and .*4.* is needed"),
        (lambda t: t.update(extra=torch.ones(2)), "'extra' it has .*2.*, and nothing is needed"),
        (lambda t: t.update({"box_predictor.cls_score.bias": torch.ones(5)}), "it has .*5.*, and .*4.* is needed"),
        (lambda t: t.update({"box_predictor.cls_score.bias": torch.ones(4).double()}), "float64 values instead of"),
        (lambda t: t.update({"x" * 9000: torch.ones(1)}), "is needed"),
    ],
)
def test_other_tensors_than_are_needed(
    folder: Path, change: Callable[[dict[str, torch.Tensor]], None], match: str
) -> None:
    rewrite(folder, change)
    refused(folder, match)


@pytest.mark.parametrize("name", [DETECTOR, PREDICTORS])
@pytest.mark.parametrize("kind", ["garbage", "empty", "cut", "sparse", "pipe", "link", "gone", "folder"])
def test_a_file_that_is_none(folder: Path, tmp_path: Path, name: str, kind: str) -> None:
    path = folder / name
    content = path.read_bytes()
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "link":
        (tmp_path / "elsewhere").write_bytes(content)
        path.symlink_to(tmp_path / "elsewhere")
    elif kind == "folder":
        path.mkdir()
    elif kind == "sparse":
        with path.open("wb") as stream:
            stream.truncate(100 << 30)
    elif kind != "gone":
        path.write_bytes({"garbage": b"\xff" * 99, "empty": b"", "cut": content[:-5]}[kind])
    refused(folder, name)


def test_json_that_is_nested_without_end(folder: Path) -> None:
    (folder / DETECTOR).write_text("[" * 20_000 + "]" * 20_000)
    refused(folder, "nested too deeply")


@pytest.mark.parametrize(
    "values",
    [
        {"anchors": [16.0] * 500},
        {"anchors": [16.0, -1.0, 32.0, 64.0, 128.0]},
        {"anchors": [1e300] * 5},
        {"test_side": -1},
        {"max_side": 10**9},
        {"train_sides": [0]},
        {"train_sides": []},
        {"train_sides": [64] * 5000},
        {"rois": 0},
        {"rpn_anchors": 10**12},
        {"test_proposals": -5},
        {"detections": 0},
        {"score_threshold": 1.5},
        {"head_norm": -1.0},
        {"iterations": -1},
        {"classes": []},
        {"classes": ["c"] * 30_000},
        {"classes": ["c" * 5000, "d", "e"]},
        {"classes": "cat"},
        {"detector": "yolo"},
        {"predictors_sha256": "0" * 64},
        {"predictors_size": 5},
        {"unknown": 1},
    ],
)
def test_values_that_no_detector_has(folder: Path, values: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    if not any(name.startswith("predictors") for name in values):
        monkeypatch.setattr(detector_folder, "DetectorParts", lambda spec: pytest.fail("a detector was being built"))
    say(folder, **values)
    refused(folder, ".")


def test_a_detector_that_lacks_a_part_is_one_error(folder: Path, tmp_path: Path) -> None:
    config = read_config(folder)
    tensors = {key: t for key, t in read_tensors(folder, config).items() if not key.startswith("rpn.")}
    write_checkpoint(
        tmp_path / "less", tensors, name=config.name, spec=config.spec, provenance=config.provenance,
        license=config.license, parts=("backbone", "fpn", "head"),
    )  # fmt: skip
    for name in (DETECTOR, PREDICTORS):
        (tmp_path / "less" / name).write_bytes((folder / name).read_bytes())
    refused(tmp_path / "less", "has predictors, but no rpn")
