"""Shared by all tests: small architectures, checkpoints with no default values, an isolated cache, and no network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from adept_hub.checkpoint import write_checkpoint
from adept_hub.models import DetectorParts
from adept_hub.spec import PARTS, CheckpointConfig, DetectorSpec, Provenance
from tests import loopback_env as _loopback_env  # noqa: F401  # no test reaches the real Hub
from tests.house import House, HouseData, write_house, write_house_data

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"

SMALL = DetectorSpec(depth=18, fpn_channels=32, head_conv_channels=32, head_fc_channels=64)


@pytest.fixture(autouse=True)
def _isolated(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADEPT_CACHE", str(tmp_path_factory.mktemp("adept-cache")))
    monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")


@pytest.fixture
def data() -> Path:
    """The folder of real images; a test that asks for it is skipped where there is none."""
    if not DATA.is_dir():
        pytest.skip(f"needs the folder of real images {DATA}")
    return DATA


def random_parts(spec: DetectorSpec = SMALL, seed: int = 0) -> DetectorParts:
    """Parts in evaluation mode, every tensor random: no zero bias, no unit norm behind which an error could hide."""
    generator = torch.Generator().manual_seed(seed)
    parts = DetectorParts(spec).eval()
    for key, tensor in parts.state_dict().items():
        if not tensor.is_floating_point():
            tensor.fill_(int(torch.randint(1, 1000, (), generator=generator)))
        elif key.endswith("running_var"):
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
        else:
            scale = (2 / tensor[0].numel()) ** 0.5 if tensor.dim() > 1 else 0.1
            noise = torch.randn(tensor.shape, generator=generator) * scale
            is_gain = tensor.dim() == 1 and key.endswith("weight")
            tensor.copy_(noise + 1 if is_gain else noise)
    return parts


@pytest.fixture
def make_checkpoint(tmp_path: Path) -> Callable[..., tuple[Path, CheckpointConfig, DetectorParts]]:
    """A factory of checkpoint folders with random tensors: (folder, config, the parts they came from)."""

    def make(
        spec: DetectorSpec = SMALL, parts: tuple[str, ...] = PARTS, method: str = "adept_joint", half: bool = False
    ) -> tuple[Path, CheckpointConfig, DetectorParts]:
        module = random_parts(spec)
        tensors = {key: t for key, t in module.state_dict().items() if key.split(".")[0] in parts}
        folder = tmp_path / "checkpoint"
        config = write_checkpoint(
            folder,
            tensors,
            name="adept_joint_r18_fpn32.test",
            spec=spec,
            provenance=Provenance(method, "random numbers", 1, 1.0, "target"),
            licence="apache-2.0",
            parts=parts,
            half=half,
        )
        return folder, config, module

    return make


@pytest.fixture
def house(tmp_path: Path) -> House:
    """The checkpoint in which no fact has its default value."""
    return write_house(tmp_path / "house")


@pytest.fixture
def house_data(tmp_path: Path) -> HouseData:
    """The data set in which nothing is as a reader might suppose."""
    return write_house_data(tmp_path / "photographs")
