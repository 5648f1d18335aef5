"""Two processes against one: the same weights after the same steps at the same global batch.

In float64: in float32 the first rounding (1e-6 after one step) grows tenfold every few steps, with one process or two.
"""

from __future__ import annotations

import io
import logging
from pathlib import Path

import pytest
import torch
from lightning_fabric import Fabric

from adept_training.images import open_images
from adept_training.pretraining.pretrain import pretrain
from adept_training.runtime.launch import GlobalBatchNorm, make_fabric
from adept_training.runtime.state import saved_states
from tests.training import support
from tests.training.support import RandomBoxes, write_photographs
from tests.two_processes import in_two_processes

STEPS = 2
SETTINGS = ("schedule.epochs=1", "engine.batch_size=8", "engine.precision=fp64", "views.sizes=[32,32,32]")
#: Each of its own recipe of `tests.training.support`.
METHODS = {
    "tiny": ("method.projector_norm=true",),
    "tiny_detection": ("views.sizes=[64,64,64]", "optimizer.lr=0.001", "optimizer.rpn_lr=null"),
}


def train(make: str, images: str, folder: str, *settings: str) -> None:
    torch.set_num_threads(1)
    pretrain(getattr(support, make)(*settings), open_images(images), RandomBoxes(), Path(folder))


@pytest.mark.slow
@pytest.mark.parametrize("make", METHODS)
def test_two_processes_equal_one(make: str, tmp_path: Path) -> None:
    source, settings = write_photographs(tmp_path / "photographs", 16), (*SETTINGS, *METHODS[make])
    pretrain(getattr(support, make)(*settings), source, RandomBoxes(), tmp_path / "one")
    in_two_processes(tmp_path, train, make, str(tmp_path / "photographs"), str(tmp_path / "two"), *settings)
    one, two = (
        torch.load(saved_states(tmp_path / name / "checkpoints")[-1], weights_only=True) for name in ("one", "two")
    )
    assert one["step"] == two["step"] == STEPS
    for key, value in one["model"].items():
        if not value.is_floating_point():
            assert torch.equal(value, two["model"][key]), key
            continue
        torch.testing.assert_close(two["model"][key], value, atol=1e-9, rtol=1e-9, msg=lambda m, k=key: f"{k}: {m}")


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("momentum", [0.1, None])
def test_the_global_norm_is_torchs_on_one_process(
    monkeypatch: pytest.MonkeyPatch, momentum: float | None, affine: bool
) -> None:
    monkeypatch.setattr("adept_training.runtime.launch._total", lambda local: local)
    options = {"eps": 0.02, "momentum": momentum, "affine": affine}
    ours, theirs = GlobalBatchNorm(5, **options), torch.nn.BatchNorm2d(5, **options)
    generator = torch.Generator().manual_seed(0)
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        mine.data.copy_(torch.rand(5, generator=generator) + 0.5)
        other.data.copy_(mine.data)
    for scale in (1.0, 3.0, 0.5):
        x = torch.randn(4, 5, 6, 6, generator=generator) * scale + scale
        torch.testing.assert_close(ours(x), theirs(x))
    for name in ("running_mean", "running_var", "num_batches_tracked"):
        torch.testing.assert_close(getattr(ours, name), getattr(theirs, name))
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x))


@pytest.mark.parametrize("accelerator", ["auto", "cpu"])
def test_fabric_prints_nothing_that_is_no_warning(
    accelerator: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    logger, printed = logging.getLogger("lightning_fabric"), io.StringIO()
    handler = logging.StreamHandler(printed)
    monkeypatch.setattr(logger, "handlers", [handler])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    level = logger.level
    logger.setLevel(logging.INFO)  # as Lightning has it, where nothing else was set up
    try:
        make_fabric("bf16", accelerator)  # "Using bfloat16 Automatic Mixed Precision (AMP)"
        assert printed.getvalue() == capfd.readouterr().err == ""
        assert logger.level == logging.INFO, "left as it was"
        launched = Fabric.launch
        monkeypatch.setattr(Fabric, "launch", lambda self: logger.warning("no MASTER_ADDR") or launched(self))
        make_fabric("bf16", accelerator)
        assert printed.getvalue() == "no MASTER_ADDR\n"
    finally:
        logger.setLevel(level)
