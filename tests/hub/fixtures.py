"""A loopback Hub, what is published there, and a registry; tests that use it reach no further than this machine."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from adept_hub.spec import CheckpointConfig
from tests.hub.loopback import Hub
from tests.loopback_env import HUB
from tests.registry.registries import small, write


@pytest.fixture
def loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """No connection leaves this machine."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in ("127.0.0.1", "::1"):
            raise AssertionError(f"a test would connect to {address}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture
def hub(loopback_only: None) -> Iterator[Hub]:
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
