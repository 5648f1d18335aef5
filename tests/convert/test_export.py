"""Exports as files: whole, free of pickled code, read back bit for bit; nothing lost or renamed goes unseen."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from adept_hub.convert.export import export_state, import_state, read_export, write_export
from adept_hub.convert.options import Target
from adept_hub.errors import (
    AdeptError,
    IncompleteLoadError,
    OutputExistsError,
    ShapeMismatchError,
    UnknownKeyError,
    UnsupportedDetectorError,
)
from adept_hub.frameworks import DETECTRON2, FRAMEWORKS, MMDET, TORCHVISION, find_framework
from adept_hub.spec import DetectorSpec
from tests.frameworks_support import (
    SMALL,
    config_of,
    one_thread,  # noqa: F401  # an autouse fixture
    random_tensors,
)


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("detector", ["mask_rcnn", "cascade_rcnn"])
def test_files_round_trip_bit_for_bit(framework, detector, tmp_path):
    tensors = random_tensors(SMALL)
    paths = write_export(tensors, config_of(SMALL), FRAMEWORKS[framework], tmp_path / "out", Target(detector))
    assert all(path.is_file() for path in paths)
    back = read_export(tmp_path / "out", FRAMEWORKS[framework])
    assert back.keys() == tensors.keys()
    for key, tensor in tensors.items():
        assert back[key].dtype == tensor.dtype
        assert torch.equal(back[key], tensor)


@pytest.mark.parametrize("framework", ["detectron2", "mmdet"])
def test_a_pth_holds_its_tensors_and_nothing_else(framework, tmp_path):
    tensors = random_tensors(SMALL)
    # As safetensors gives them: views into one big storage, which torch.save would write as a whole.
    mapped = torch.zeros(10_000_000)
    shape = tensors["head.5.bias"].shape
    tensors = {**tensors, "head.5.bias": mapped[: shape[0]].view(shape)}
    weights, _ = write_export(tensors, config_of(SMALL), FRAMEWORKS[framework], tmp_path / "out")
    torch.load(weights, weights_only=True)
    assert weights.stat().st_size < 1.1 * sum(t.nbytes for t in tensors.values()) + 200_000


def test_an_export_does_not_overwrite(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    with pytest.raises(OutputExistsError):
        write_export(random_tensors(SMALL), config_of(SMALL), MMDET, tmp_path / "mine")
    assert [p.name for p in tmp_path.iterdir()] == ["mine"]


def test_no_file_remains_when_a_choice_cannot_be_expressed(tmp_path):
    target = Target(levels="pretraining")
    with pytest.raises(UnsupportedDetectorError, match="canonical_box_size = 96"):
        write_export(random_tensors(SMALL), config_of(SMALL), DETECTRON2, tmp_path / "out", target)
    assert not list(tmp_path.iterdir())


def test_frozen_norms_keep_their_counters_only_where_the_framework_s_have_one():
    """MMDetection freezes its backbone's BatchNorm in place; torchvision's FrozenBatchNorm2d counts nothing."""
    for framework, counted in (("mmdet", {"backbone"}), ("detectron2", set()), ("torchvision", set())):
        state = export_state(random_tensors(SMALL), SMALL, FRAMEWORKS[framework], Target(norm="FrozenBN"))
        assert {key.split(".")[0] for key in state if key.endswith("num_batches_tracked")} == counted


@pytest.mark.parametrize(
    "choice", [{"detector": "yolo"}, {"norm": "GN"}, {"anchors": "9"}, {"levels": ""}, {"num_classes": 1}]
)
def test_unknown_choices_are_refused(choice):
    with pytest.raises(UnsupportedDetectorError):
        Target(**choice)


def test_an_unknown_framework_is_refused():
    with pytest.raises(UnsupportedDetectorError, match="torchvision, detectron2, mmdet"):
        find_framework("keras")


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_deleting_or_renaming_any_tensor_of_a_checkpoint_is_caught(framework):
    tensors = random_tensors(SMALL)
    for key in tensors:
        less = {k: t for k, t in tensors.items() if k != key}
        with pytest.raises(IncompleteLoadError):
            export_state(less, SMALL, FRAMEWORKS[framework])
        for name in (f"{key}x", f"x.{key}", f"{key.split('.')[0]}.{key}"):
            with pytest.raises((IncompleteLoadError, UnknownKeyError)):
                export_state({**less, name: tensors[key]}, SMALL, FRAMEWORKS[framework])


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_deleting_or_renaming_any_tensor_of_a_framework_s_file_is_caught(framework):
    state = export_state(random_tensors(SMALL), SMALL, FRAMEWORKS[framework])
    for key, tensor in state.items():
        less = {k: t for k, t in state.items() if k != key}
        with pytest.raises(AdeptError):
            import_state(less, FRAMEWORKS[framework])
        with pytest.raises(AdeptError):
            import_state({**less, f"{key}x": tensor}, FRAMEWORKS[framework])


def test_a_wrong_shape_is_caught():
    tensors = {**random_tensors(SMALL), "rpn.cls_logits.bias": torch.zeros(4)}
    with pytest.raises(ShapeMismatchError, match=r"rpn\.cls_logits\.bias"):
        export_state(tensors, SMALL, MMDET)


def test_parts_may_be_exported_alone():
    tensors = {k: t for k, t in random_tensors(SMALL).items() if not k.startswith("rpn.")}
    state = export_state(tensors, SMALL, DETECTRON2)
    assert len(state) == len(tensors)
    assert not any("proposal_generator" in key for key in state)


@pytest.mark.parametrize(
    ("detector", "predictor", "results"),
    [
        ("mask_rcnn", "mask_predictor.mask_fcn_logits.out_channels", "boxes labels masks scores"),
        ("cascade_rcnn", "box_predictor[2].cls_score.out_features", "boxes labels scores"),
    ],
)
def test_a_torchvision_export_needs_torchvision_alone(detector, predictor, results, tmp_path):
    tensors = random_tensors(SMALL)
    write_export(tensors, config_of(SMALL), TORCHVISION, tmp_path / "out", Target(detector, num_classes=5))
    program = (
        "import sys; sys.modules['adept_hub'] = None\n"
        "import torch; from build_model import build_model\n"
        "model = build_model(num_classes=3).eval()\n"
        f"assert model.roi_heads.{predictor} == 3\n"
        "print(*sorted(model([torch.rand(3, 64, 64)])[0]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path / "out",
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == results


def test_a_torchvision_export_refuses_weights_that_do_not_fit(tmp_path):
    import runpy

    write_export(random_tensors(SMALL), config_of(SMALL), TORCHVISION, tmp_path / "out")
    wider = DetectorSpec(depth=34, fpn_channels=32, head_conv_channels=24, head_fc_channels=40)
    write_export(random_tensors(wider), config_of(wider), TORCHVISION, tmp_path / "other")
    build = runpy.run_path(str(tmp_path / "out" / "build_model.py"))["build_model"]
    with pytest.raises(RuntimeError, match="does not match"):
        build(weights=tmp_path / "other" / "model.safetensors")
