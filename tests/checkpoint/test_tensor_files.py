"""Other projects' .pth files: tensors arrive, imports are named and refused, claims are checked."""

from __future__ import annotations

import argparse
import collections
import contextlib
import io
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from adept_hub.checkpoint.tensor_files import load_tensors_only
from adept_hub.errors import CheckpointError, PickleRefusedError

STATE = {"conv.weight": torch.arange(24.0).reshape(2, 3, 2, 2), "bn.num_batches_tracked": torch.tensor(7)}


class Call:
    """Pickles as a call of any function."""

    def __init__(self, function, *arguments) -> None:
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def saved(tmp_path: Path, value: object, old: bool = False) -> Path:
    path = tmp_path / "weights.pth"
    torch.save(value, path, _use_new_zipfile_serialization=not old)
    return path


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: {"model": s}, lambda s: {"state_dict": s, "epoch": 3}])
def test_state_dicts_arrive(tmp_path: Path, old: bool, wrap) -> None:
    loaded = load_tensors_only(saved(tmp_path, wrap(collections.OrderedDict(STATE)), old))
    assert list(loaded) == list(STATE)
    assert all(torch.equal(loaded[key], value) for key, value in STATE.items())


@pytest.mark.parametrize("old", [False, True])
def test_a_checkpoint_as_soco_saves_it(tmp_path: Path, old: bool) -> None:
    """Arguments as a Namespace, an optimizer with large numbers in it, parameters and views."""
    module = torch.nn.Linear(3, 2)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
    module(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    checkpoint = {
        "opt": argparse.Namespace(seed=2**62, output="x"),
        "model": module.state_dict(),
        "optimizer": optimizer.state_dict(),
        "epoch": 400,
    }
    loaded = load_tensors_only(saved(tmp_path, checkpoint, old))
    assert torch.equal(loaded["weight"], module.weight)


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize(
    ("value", "named"),
    [
        (Call(os.system, "touch owned"), r"(posix|nt)\.system"),
        (Call(eval, "__import__('os').system('touch owned')"), r"eval"),
        (Call(exec, "open('owned', 'w')"), r"exec"),
        (Call(getattr, "text", "upper"), r"getattr"),
        (Call(torch.hub.load, "a/b", "c"), r"torch\.hub\.load"),
        (np.zeros(3), r"numpy.*_reconstruct"),
        (torch.nn.Linear(2, 2), r"torch\.nn\.modules\.linear\.Linear"),
        (Path("x"), r"pathlib"),
        (print, r"print"),
    ],
)
def test_imports_are_named_and_refused(tmp_path: Path, monkeypatch, old: bool, value: object, named: str) -> None:
    monkeypatch.chdir(tmp_path)
    path = saved(tmp_path, {"model": STATE, "extra": value}, old)
    with pytest.raises(PickleRefusedError, match=f"would import .*{named}") as caught:
        load_tensors_only(path)
    assert len(str(caught.value).splitlines()) <= 3
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_plain_pickles_are_refused_too(tmp_path: Path, monkeypatch, protocol: int) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "weights.pkl"
    path.write_bytes(pickle.dumps({"a": Call(os.system, "touch owned")}, protocol=protocol))
    with pytest.raises(PickleRefusedError, match=r"\.system"):
        load_tensors_only(path)
    path.write_bytes(pickle.dumps({"a": 1}, protocol=protocol))
    with pytest.raises(CheckpointError, match=r"not from torch\.save"):
        load_tensors_only(path)
    assert not (tmp_path / "owned").exists()


def rezip(path: Path, change, compression: int = zipfile.ZIP_STORED) -> None:
    """Write the archive again, each entry's bytes as ``change(name, bytes)`` says."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in entries.items():
            archive.writestr(name, change(name, content))


def test_zip_bombs_are_refused_unopened(tmp_path: Path) -> None:
    path = saved(tmp_path, STATE)
    rezip(path, lambda name, content: bytes(200 << 20) if name.endswith("data/0") else content, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 1 << 20
    with pytest.raises(CheckpointError, match="compressed"):
        load_tensors_only(path)


@pytest.mark.parametrize("old", [False, True])
def test_storages_that_claim_more_than_the_file_holds(tmp_path: Path, old: bool) -> None:
    path = saved(tmp_path, {"x": torch.zeros(99_999)}, old)
    claim = b"J" + (99_999).to_bytes(4, "little")
    huge = b"J" + (2**31 - 1).to_bytes(4, "little")
    assert path.read_bytes().count(claim) >= 1
    if old:
        path.write_bytes(path.read_bytes().replace(claim, huge))
    else:
        rezip(path, lambda name, content: content.replace(claim, huge))
    with pytest.raises(CheckpointError, match="claims"):
        load_tensors_only(path)


@pytest.mark.parametrize(
    "tensor",
    [
        torch.zeros(1).expand(1 << 40),
        torch.zeros(1 << 50, device="meta"),
        torch.sparse_coo_tensor(torch.zeros(2, 0, dtype=torch.int64), torch.zeros(0), (1 << 30, 1 << 30)),
        torch.quantize_per_tensor(torch.zeros(2), 0.1, 0, torch.qint8),
    ],
    ids=["expanded", "meta", "sparse", "quantized"],
)
def test_tensors_that_are_not_what_they_claim(tmp_path: Path, tensor: torch.Tensor) -> None:
    with pytest.raises(CheckpointError, match=r"claims shape|not a plain tensor|import"):
        load_tensors_only(saved(tmp_path, {"x": tensor}))


@pytest.mark.parametrize("old", [False, True])
def test_damaged_files(tmp_path: Path, old: bool) -> None:
    path = saved(tmp_path, STATE, old)
    content = path.read_bytes()
    generator = torch.Generator().manual_seed(0)
    for keep in (0, 1, 10, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:keep])
        with pytest.raises(CheckpointError):
            load_tensors_only(path)
    for _ in range(100):
        at, bit = (int(torch.randint(n, (), generator=generator)) for n in (len(content), 8))
        path.write_bytes(content[:at] + bytes([content[at] ^ 1 << bit]) + content[at + 1 :])
        with contextlib.suppress(CheckpointError):  # nothing else may be raised
            load_tensors_only(path)  # a number of a tensor may have changed: .pth files carry no digest


@pytest.mark.parametrize("value", [{}, [], 3, {"epoch": 3}, {"model": {"a": 1}}, [torch.zeros(2)], None])
def test_files_without_a_state_dict(tmp_path: Path, value: object) -> None:
    with pytest.raises(CheckpointError, match="no state dict"):
        load_tensors_only(saved(tmp_path, value))


def test_torchscript_and_other_archives(tmp_path: Path) -> None:
    path = tmp_path / "other.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/constants.pkl", pickle.dumps(()))
        archive.writestr("a/data.pkl", pickle.dumps(()))
        archive.writestr("a/code/evil.py", "import os")
    with pytest.raises(CheckpointError):
        load_tensors_only(path)
    buffer = io.BytesIO()
    np.savez(buffer, a=np.zeros(3))
    path.write_bytes(buffer.getvalue())
    with pytest.raises(CheckpointError):
        load_tensors_only(path)
    with pytest.raises(CheckpointError, match="is a folder"):
        load_tensors_only(tmp_path)
