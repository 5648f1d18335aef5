"""A detector in ONNX finds the same as in torch: in its graph, through `load_detector`, and by run.py without torch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import adept_hub
from adept_hub.checkpoint.folder import read_config
from adept_hub.cli.main import main
from adept_hub.detectors.folder import read_detector
from adept_hub.detectors.image_detections import ImageDetections
from adept_hub.errors import MissingExtraError, OptionValueError, SourceError
from adept_training.deploying.onnx_batch import with_batch
from tests.training.deploying.conftest import DETECTORS, PHOTOS

onnx = pytest.importorskip("onnx", reason="needs the extra onnx")
ort = pytest.importorskip("onnxruntime", reason="needs the extra onnx")


#: Images of a batch; None: any number.
BATCH = {"faster_rcnn": None, "mask_rcnn": 2, "cascade_rcnn": 3}


def pictures() -> list[np.ndarray]:
    """Of many sizes; two neighbors have the same, and in one of them nothing is found."""
    photos = [np.asarray(Image.open(path).convert("RGB")) for path in sorted(PHOTOS.glob("*.jpg"))]
    # Of 147 rows floor(147 * (96 / 147)) is 95 in float64; a trace in float32 makes 96 of it. The last are enlarged.
    small = photos[2][:70, :90]
    return [
        photos[0][:230, :310],
        photos[1][:147, :150],
        photos[2][:250, :150],
        photos[2][:60, :80],
        small,
        np.zeros_like(small),
    ]


def check_same(found: list[ImageDetections], expected: list[ImageDetections]) -> None:
    """Boxes to 1e-3 pixels of the network's input, whose shorter side is 96."""
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one.class_names == other.class_names
        atol = 1e-3 * max(1, min(other.size) / 96)
        np.testing.assert_allclose(one.boxes_D4, other.boxes_D4, rtol=0, atol=atol)
        np.testing.assert_allclose(one.scores_D, other.scores_D, rtol=0, atol=1e-4)
        assert (one.masks is None) == (other.masks is None)
        for mask, theirs in zip(one.masks or (), other.masks or (), strict=True):
            assert mask["size"] == theirs["size"]
            assert len(mask["counts"]) == pytest.approx(len(theirs["counts"]), abs=8)


@pytest.mark.parametrize("detector", DETECTORS)
@torch.no_grad()
def test_the_graph_finds_the_same_in_photographs_of_any_size(detector: str, tune, tmp_path: Path) -> None:
    # Of a cascade so many that their number differs between images.
    folder = tune(detector, proposals=1000 if detector == "cascade_rcnn" else 60)
    assert main(["deploy", str(folder), "--to", "onnx", "--out", str(tmp_path / "out")]) == 0
    session = ort.InferenceSession(str(tmp_path / "out" / "model.onnx"), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    assert names == ["boxes", "labels", "scores", *(["masks"] if detector == "mask_rcnn" else [])]
    ours, _ = read_detector(folder)
    for picture in pictures():
        image = torch.from_numpy(picture.copy()).permute(2, 0, 1).float() / 255
        expected, found = ours([image])[0], dict(zip(names, session.run(None, {"image": image.numpy()}), strict=True))
        expected["labels"] -= 1  # places in classes.json
        for name in names:
            atol = {"boxes": 1e-3 * max(1, image.shape[1] / 96), "labels": 0}.get(name, 1e-4)
            torch.testing.assert_close(torch.from_numpy(found[name]), expected[name], rtol=0, atol=atol)
        assert len(found["scores"]) > 10 or not picture.any()

    # The same graph in a loop over a batch, through `load_detector`.
    expected = adept_hub.load_detector(folder, device="cpu").predict(pictures(), score=0.2)
    graph = onnx.load(str(tmp_path / "out" / "model.onnx"))
    facts = {entry.key: entry.value for entry in graph.metadata_props}
    many = with_batch(graph, BATCH[detector], most=60)  # more than there are, so that all is padded
    onnx.helper.set_model_props(many, facts)
    onnx.save(many, str(tmp_path / "many.onnx"))
    batched = adept_hub.load_detector(tmp_path / "many.onnx", device="cpu")
    assert batched.session.get_inputs()[0].shape[0] == (BATCH[detector] or "batch")  # type: ignore[attr-defined]
    check_same(batched.predict(pictures(), score=0.2, batch_size=6), expected)


@pytest.mark.parametrize("batch", [None, "2"])
def test_a_graph_knows_its_classes_and_runs_without_torch(
    batch: str | None, tune, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = tune(), tmp_path / "out"
    more = [] if batch is None else ["--batch", batch]
    assert main(["deploy", str(folder), "--to", "onnx", "--out", str(out), *more]) == 0
    classes = json.loads((out / "classes.json").read_text())["classes"]
    session = ort.InferenceSession(str(out / "model.onnx"), providers=["CPUExecutionProvider"])
    facts, checkpoint = session.get_modelmeta().custom_metadata_map, read_config(folder)
    assert json.loads(facts["classes"]) == classes == ["a", "b's", "c"]
    assert (json.loads(facts["mean"]), json.loads(facts["std"])) == ([0.1, 0.2, 0.3], [0.4, 0.5, 0.6])
    expected_facts = {
        "test_side": "96", "max_side": "160", "score_threshold": "0.11", "detections": "37", "license": "apache-2.0",
        "sha256": checkpoint.sha256, "detector": "faster_rcnn",
    }  # fmt: skip
    assert {name: facts[name] for name in expected_facts} == expected_facts

    chelsea = PHOTOS / "chelsea.jpg"
    turned = tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(chelsea).save(turned, exif=exif, quality=95)
    images = [str(chelsea), str(turned)]
    expected = adept_hub.load_detector(folder, device="cpu").predict(images)
    blocked = "import runpy, sys; sys.modules.update(dict.fromkeys(('torch', 'torchvision', 'adept_hub', 'onnx')))"
    code = f"{blocked}; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
    done = subprocess.run(
        [sys.executable, "-c", code, str(out / "run.py"), *images],
        check=True, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    lines = [line.split("  ") for line in done.stdout.splitlines()]
    assert len(lines) > 10
    assert [(line[0], line[1]) for line in lines] == [(one.image, name) for one in expected for name in one.class_names]
    found = np.array([[float(word) for word in f"{line[3]} {line[2]}".split()] for line in lines])
    wanted = np.concatenate([np.c_[one.boxes_D4, one.scores_D] for one in expected])
    np.testing.assert_allclose(found, wanted, atol=0.06)
    assert len((out / "run.py").read_text().splitlines()) <= 35

    check_same(adept_hub.load_detector(out / "model.onnx", device="cpu").predict(images), expected)
    capsys.readouterr()
    words = [
        "predict",
        str(folder),
        str(out),
        str(chelsea),
        "--out",
        str(tmp_path / "found"),
        "--device",
        "cpu",
        "--json",
    ]
    assert main([*words, "--format", "csv"]) == 0
    counts = json.loads(capsys.readouterr().out)["detections"]
    assert counts == {str(folder): len(expected[0]), str(out): len(expected[0])}


def test_what_a_graph_cannot_do_is_refused(tune, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    folder = tune()
    for words, message in (
        (["--to", "mmdet", "--batch", "2"], "is for a graph in ONNX"),
        (["--to", "onnx", "--batch", "some"], "is neither 'dynamic' nor a number from 1 to 4,096"),
    ):
        with pytest.raises(OptionValueError, match=message):
            main(["deploy", str(folder), "--debug", "--out", str(out), *words])
    assert not out.exists()
    assert main(["deploy", str(folder), "--to", "onnx", "--out", str(out)]) == 0
    graph, image = adept_hub.load_detector(out, device="cpu"), pictures()[3]
    for options in ({"score": 0.1}, {"most": 38}):
        with pytest.raises(OptionValueError, match=r"returns at most 37 detections with scores from 0\.11"):
            graph.predict(image, **options)  # type: ignore[arg-type]
    with pytest.raises(OptionValueError, match="this onnxruntime has"):
        adept_hub.load_detector(out, device="mps")
    model = onnx.load(str(out / "model.onnx"))
    for facts, message in (
        ({}, "has no metadata"),
        ({"format": "adept-hub detector 1", "classes": "["}, "classes is not valid"),
    ):
        del model.metadata_props[:]
        onnx.helper.set_model_props(model, facts)
        onnx.save(model, str(tmp_path / "other.onnx"))
        with pytest.raises(SourceError, match=message):
            adept_hub.load_detector(tmp_path / "other.onnx", device="cpu")
    (tmp_path / "other.onnx").write_bytes(b"no graph")
    with pytest.raises(SourceError, match="is not a graph that onnxruntime can load"):
        adept_hub.load_detector(tmp_path / "other.onnx", device="cpu")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtraError, match=r"pip install '\.\[onnx\]'"):
        adept_hub.load_detector(out, device="cpu")
