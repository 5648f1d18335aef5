"""The fine-tuning scripts of docs/frameworks.md, run on a handful of images with only sizes and iterations changed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.frameworks_support import one_thread, register_mmdet  # noqa: F401  # an autouse fixture

DOCS = Path(__file__).resolve().parents[2] / "docs" / "frameworks.md"


def script(name: str) -> str:
    (found,) = re.findall(rf"```python {name}\n(.*?)```", DOCS.read_text(), re.S)
    assert len([line for line in found.splitlines() if line and "import" not in line]) <= 11
    return found


def run(name: str, folder: Path, *changes: tuple[str, str]) -> dict:
    text = script(name)
    for old, new in (('"detection"', repr(str(folder))), *changes):
        assert old in text, old
        text = text.replace(old, new)
    space: dict = {}
    exec(compile(text, f"docs/frameworks.md:{name}", "exec"), space)
    return space


@pytest.mark.frameworks
def test_torchvision(dataset, make_checkpoint):
    folder, _, _ = make_checkpoint()
    space = run("torchvision", folder, ("num_classes=4)", "num_classes=4, min_size=96, max_size=128)"))
    assert space["loss"].isfinite()


@pytest.mark.frameworks
def test_detectron2(dataset, make_checkpoint):
    folder, _, _ = make_checkpoint()
    small = '"MODEL.DEVICE", "cpu", "INPUT.MIN_SIZE_TRAIN", (96,), "DATALOADER.NUM_WORKERS", 0, "SOLVER.MAX_ITER", 2'
    space = run("detectron2", folder, ('"SOLVER.MAX_ITER", 9000', small))
    assert (dataset / "output" / "model_final.pth").is_file()
    assert space["trainer"].iter == 2


@pytest.mark.frameworks
def test_mmdet(dataset, make_checkpoint):
    register_mmdet()
    folder, _, _ = make_checkpoint()
    small = (
        "cfg.train_dataloader.dataset.pipeline[2].scale = (128, 96)\n"
        "cfg.train_dataloader.update(num_workers=0, persistent_workers=False)\n"
        "cfg.train_cfg.max_epochs = 1\n"
        "cfg.optim_wrapper.optimizer.lr = 0.0025"
    )
    run("mmdet", folder, ("cfg.optim_wrapper.optimizer.lr = 0.0025", small))
    assert (dataset / "runs" / "epoch_1.pth").is_file()
