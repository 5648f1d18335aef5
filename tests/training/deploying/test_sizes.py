"""The graph resizes to the very pixels that Python's float64 gives, in float32 alone; OpenVINO then finds the same."""

from __future__ import annotations

import math
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from adept_hub.cli.main import main
from adept_training.deploying.onnx_graph import _averages, _resized
from tests.training.deploying.conftest import DETECTORS, PHOTOS


def expected_size(height: int, width: int, shorter: int, longer: int) -> list[int]:
    """torchvision's, in Python's float64."""
    scale = min(shorter / min(height, width), longer / max(height, width))
    return [math.floor(height * scale), math.floor(width * scale)]


def test_sizes_are_those_of_float64_where_it_rounds_too() -> None:
    rng = np.random.default_rng(3)
    shorter, longer = 96, 160
    cases = [(int(h), int(w)) for h, w in rng.integers(20, 4000, (60, 2))]
    whole = [(s, side) for s in range(40, 400) for side in range(s, 2 * s) if side * shorter % s == 0]
    rounded = [case for case in whole if expected_size(*case, shorter, longer) != [96, case[1] * 96 // case[0]]]
    cases += [(147, 150), (12_000, 9000), *rounded[::9], *whole[::97]]
    assert len(rounded) > 20
    for case in cases:
        found = _resized(torch.tensor(case, dtype=torch.float32), shorter, longer)
        assert found.tolist() == expected_size(*case, shorter, longer), case


@pytest.mark.parametrize("new", [7, 23, 64])
def test_averages_are_those_of_an_antialiased_resize(new: int) -> None:
    columns = torch.rand(1, 1, 23, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    expected = torch.nn.functional.interpolate(columns, size=(new, 4), mode="bilinear", antialias=True)
    weights_NO = _averages(torch.tensor(23.0), torch.tensor(float(new)))
    torch.testing.assert_close(weights_NO.double() @ columns[0, 0], expected[0, 0], rtol=0, atol=1e-6)


@pytest.fixture
def graph(request: pytest.FixtureRequest, tune, tmp_path: Path) -> Path:
    folder = tune(request.param)
    assert main(["deploy", str(folder), "--to", "onnx", "--out", str(tmp_path / "out")]) == 0
    return tmp_path / "out" / "model.onnx"


@pytest.mark.parametrize("graph", ["faster_rcnn"], indirect=True)
def test_no_tensor_is_float64(graph: Path) -> None:
    """OpenVINO computes float64 in float32, and TensorRT does not have it."""
    onnx = pytest.importorskip("onnx", reason="needs the extra onnx")
    model = onnx.shape_inference.infer_shapes(onnx.load(str(graph)))
    double = onnx.TensorProto.DOUBLE
    constants = [a.t for node in model.graph.node for a in node.attribute if a.HasField("t")]
    casts = [a.i for node in model.graph.node if node.op_type == "Cast" for a in node.attribute]
    inferred = [value.type.tensor_type.elem_type for value in model.graph.value_info]
    assert len(inferred) > 100
    assert double not in {*inferred, *casts, *(tensor.data_type for tensor in (*model.graph.initializer, *constants))}


@pytest.mark.skipif(find_spec("openvino") is None, reason="pip install openvino")
@pytest.mark.parametrize("graph", DETECTORS, indirect=True)
def test_openvino_finds_the_same_as_onnxruntime(graph: Path) -> None:
    import openvino

    ort = pytest.importorskip("onnxruntime", reason="needs the extra onnx")
    session = ort.InferenceSession(str(graph), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    compiled = openvino.compile_model(str(graph), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    photos = [np.asarray(Image.open(path).convert("RGB")) for path in sorted(PHOTOS.glob("*.jpg"))]
    for photo in (*photos, *(photo[1:] for photo in photos), photos[0][:147, :150]):
        image = np.ascontiguousarray(photo.transpose(2, 0, 1), np.float32) / 255
        expected = dict(zip(names, session.run(None, {"image": image}), strict=True))
        found = compiled(image)
        assert len(expected["scores"]) > 10
        np.testing.assert_array_equal(found["labels"], expected["labels"])
        np.testing.assert_allclose(
            found["boxes"], expected["boxes"], rtol=0, atol=0.01 * max(1, min(photo.shape[:2]) / 96)
        )
        np.testing.assert_allclose(found["scores"], expected["scores"], rtol=0, atol=1e-4)
