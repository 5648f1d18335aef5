"""Real Detectron2 and MMDetection for tests, on a machine without a GPU and without compiled extensions."""

from __future__ import annotations

import functools
import importlib.machinery
import importlib.util
import sys
import types

import pytest
import torch
import torchvision

from adept_hub.models.contract import expected_tensors
from adept_hub.spec import CheckpointConfig, DetectorSpec, Provenance


def _unavailable(name: str):
    def operator(*args: object, **kwargs: object) -> None:
        raise NotImplementedError(f"mmcv._ext.{name} is not in the test stand-in")

    return operator


class _Extension(types.ModuleType):
    """mmcv's compiled operators that two-stage detectors need, on torchvision's; any other raises when called."""

    def __getattr__(self, name: str):
        if name.startswith("__"):
            raise AttributeError(name)
        return _unavailable(name)

    @staticmethod
    def nms(boxes, scores, iou_threshold, offset):
        if offset:
            raise NotImplementedError("nms with the legacy +1 offset")
        return torchvision.ops.nms(boxes, scores, iou_threshold)

    @staticmethod
    def roi_align_forward(
        feats,
        rois,
        output,
        argmax_y,
        argmax_x,
        *,
        aligned_height,
        aligned_width,
        spatial_scale,
        sampling_ratio,
        pool_mode,
        aligned,
    ):
        assert pool_mode == 1, "average pooling only"
        size = (aligned_height, aligned_width)
        output.copy_(torchvision.ops.roi_align(feats, rois, size, spatial_scale, sampling_ratio, aligned))

    @staticmethod
    def roi_align_backward(
        grad,
        rois,
        argmax_y,
        argmax_x,
        grad_input,
        *,
        aligned_height,
        aligned_width,
        spatial_scale,
        sampling_ratio,
        pool_mode,
        aligned,
    ):
        n, c, h, w = grad_input.shape
        grad_input += torch.ops.torchvision._roi_align_backward(
            grad, rois, spatial_scale, aligned_height, aligned_width, n, c, h, w, sampling_ratio, aligned
        )


def install_mmcv_ops() -> None:
    """Put the stand-in in place of mmcv._ext, unless mmcv was installed with its own."""
    if "mmcv._ext" not in sys.modules and importlib.util.find_spec("mmcv._ext") is None:
        stand_in = _Extension("mmcv._ext")
        # MMEngine asks whether the extension can be found, not whether it is there.
        stand_in.__spec__ = importlib.machinery.ModuleSpec("mmcv._ext", None)
        sys.modules["mmcv._ext"] = stand_in


def register_mmdet() -> None:
    """Import MMDetection's modules and make its scope the default one."""
    install_mmcv_ops()
    from mmdet.utils import register_all_modules

    register_all_modules(init_default_scope=True)


SMALL = DetectorSpec(depth=18, fpn_channels=32, head_conv_channels=24, head_fc_channels=40)
LARGE = DetectorSpec(depth=50)


@functools.cache
def random_tensors(spec, seed: int = 0) -> dict[str, torch.Tensor]:
    """Canonical tensors of ``spec`` that hide no error: every value random, statistics and biases included.

    Weights keep the signal's scale from layer to layer, so that a relative comparison at the end means something.
    """
    generator = torch.Generator().manual_seed(seed)
    tensors: dict[str, torch.Tensor] = {}
    for key, (shape, dtype) in expected_tensors(spec).items():
        if not dtype.is_floating_point:
            tensors[key] = torch.randint(1, 1000, shape, generator=generator)
        elif key.endswith("running_var"):
            tensors[key] = torch.rand(shape, generator=generator) + 0.5
        elif len(shape) > 1:
            fan_in = int(torch.tensor(shape[1:]).prod())
            tensors[key] = torch.randn(shape, generator=generator) * fan_in**-0.5
        elif key.endswith("weight"):
            tensors[key] = torch.rand(shape, generator=generator) + 0.5
        else:
            tensors[key] = torch.randn(shape, generator=generator) * 0.3
    # A trained RPN's deltas stay far from the clamps on dw and dh (MMDetection has a lower one, too), and its logits
    # where their sigmoids differ in float32 (MMDetection ranks proposals by those).
    tensors["rpn.bbox_pred.weight"] *= 0.1
    tensors["rpn.cls_logits.weight"] *= 0.1
    return tensors


def config_of(spec: DetectorSpec) -> CheckpointConfig:
    """A config as a checkpoint folder would have it."""
    provenance = Provenance(
        method="adept_joint", data="random", images=0, epochs=0.0, exported_network="none", trained_on="nothing"
    )
    return CheckpointConfig("adept_joint_test.random", spec, provenance, "apache-2.0", "0" * 64, 1)


@pytest.fixture(autouse=True)
def one_thread():
    """Small maps on a busy machine: a second thread costs more than it gives. Imported by the modules that want it."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
