"""Hub tests reach no further than this machine."""

from __future__ import annotations

import functools
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from adept_hub.checkpoint import read_config, write_checkpoint
from adept_hub.models import DetectorParts
from adept_hub.spec import PARTS, CheckpointConfig, Provenance
from tests.conftest import SMALL, random_parts
from tests.hub.loopback import Hub
from tests.hub.registries import small, write
from tests.loopback_env import HUB


@pytest.fixture(autouse=True)
def _loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    connect = socket.socket.connect

    def guarded(self: socket.socket, address) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in ("127.0.0.1", "::1"):
            raise AssertionError(f"a test would connect to {address}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)
    for variable in ("ADEPT_REGISTRY", "HF_TOKEN", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture(scope="session")
def _templates(tmp_path_factory: pytest.TempPathFactory) -> Callable[[bool, tuple[str, ...]], Path]:
    """Checkpoint folders with random tensors, each kind written once in a session."""

    @functools.cache
    def template(half: bool, parts: tuple[str, ...]) -> Path:
        folder = tmp_path_factory.mktemp("template") / "checkpoint"
        write_checkpoint(
            folder,
            {key: t for key, t in _parts().state_dict().items() if key.split(".")[0] in parts},
            name="adept_joint_r18_fpn32.test",
            spec=SMALL,
            provenance=Provenance("adept_joint", "random numbers", 1, 1.0, "target"),
            licence="apache-2.0",
            parts=parts,
            half=half,
        )
        return folder

    return template


@functools.cache
def _parts() -> DetectorParts:
    return random_parts(SMALL)


@pytest.fixture
def make_checkpoint(tmp_path: Path, _templates) -> Callable[..., tuple[Path, CheckpointConfig, DetectorParts]]:
    """The same as the factory for all tests, by copying what was written before: (folder, config, the parts)."""

    def make(parts: tuple[str, ...] = PARTS, half: bool = False, folder: Path | None = None):
        folder = folder or tmp_path / "checkpoint"
        shutil.copytree(_templates(half, parts), folder)
        return folder, read_config(folder), _parts()

    return make


@pytest.fixture
def hub() -> Iterator[Hub]:
    """The loopback Hub, empty and running."""
    HUB.reset()
    HUB.start()
    yield HUB
    HUB.faults.clear()


@pytest.fixture
def published(hub: Hub, make_checkpoint) -> tuple[str, CheckpointConfig, Path]:
    """org/small on the loopback Hub: (commit, config, the folder it came from)."""
    folder, config, _ = make_checkpoint(half=True)
    files = {path.name: path.read_bytes() for path in folder.iterdir()} | {"README.md": b"# by hand\n"}
    return hub.repo("org/small", files), config, folder


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small registry file, which the environment names."""
    path = write(tmp_path / "mine" / "registry.json", small())
    monkeypatch.setenv("ADEPT_REGISTRY", str(path))
    return path
