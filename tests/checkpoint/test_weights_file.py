"""Weights that are not finite, or that are larger than any, are refused where they are read."""

from __future__ import annotations

import json
import math
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import adept_hub
from adept_hub.checkpoint.folder import WEIGHTS, read_config, read_tensors, write_checkpoint, write_config
from adept_hub.checkpoint.weights_file import check_finite, read_safetensors
from adept_hub.cli.main import main
from adept_hub.errors import CheckpointError, IntegrityError
from adept_hub.io.digest import sha256_file


def poison(folder: Path, key: str, value: float) -> None:
    """Put a value into a tensor of a checkpoint whose digest then promises it."""
    tensors = load_file(folder / WEIGHTS)
    tensors[key].view(-1)[tensors[key].numel() // 2] = value
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    path = folder / WEIGHTS
    write_config(folder, replace(read_config(folder), sha256=sha256_file(path), size=path.stat().st_size))


@pytest.mark.parametrize("half", [True, False])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("key", ["backbone.conv1.weight", "rpn.bbox_pred.bias", "head.4.1.running_var"])
def test_a_value_that_is_not_finite_is_not_loaded(make_checkpoint, key: str, value: float, half: bool) -> None:
    folder, config, _ = make_checkpoint(half=half)
    known = load_file(folder / WEIGHTS)
    key = key if key in known else next(name for name in known if name.endswith("running_var"))
    read_tensors(folder, config)  # of another content, and remembered
    poison(folder, key, value)
    for _ in range(2):  # also when the digest is remembered
        with pytest.raises(CheckpointError, match=f"{key}.*NaN or infinity.*not loaded"):
            adept_hub.load_pretrained(folder, num_classes=3)
    with pytest.raises(CheckpointError, match="NaN"):
        adept_hub.export(folder, "detectron2", folder.parent / "out")
    assert not (folder.parent / "out").exists()


@pytest.mark.parametrize(("half", "value"), [(True, 65_520.0), (True, -1e6), (False, math.inf), (True, math.nan)])
def test_a_value_that_its_file_cannot_hold_is_not_saved(make_checkpoint, tmp_path, half: bool, value: float) -> None:
    """float16 ends at 65,504: a finite weight above it would be stored as infinity."""
    _, config, parts = make_checkpoint()
    tensors = {key: tensor.clone() for key, tensor in parts.state_dict().items()}
    known = {"name": config.name, "spec": config.spec, "provenance": config.provenance, "parts": config.parts}
    tensors["fpn.layer_blocks.1.0.weight"].view(-1)[7] = 65_504.0
    write_checkpoint(tmp_path / "fits", tensors, license="mit", half=half, **known)
    tensors["fpn.layer_blocks.1.0.weight"].view(-1)[7] = value
    with pytest.raises(CheckpointError, match=r"'fpn\.layer_blocks\.1\.0\.weight' contains NaN or infinity.*not saved"):
        write_checkpoint(tmp_path / "out", tensors, license="mit", half=half, **known)
    assert not (tmp_path / "out").exists()


def test_two_infinities_and_large_values() -> None:
    """A sum of both infinities is NaN; one of large values overflows, and they are finite."""
    with pytest.raises(CheckpointError, match="'b'"):
        check_finite({"a": torch.ones(3), "b": torch.tensor([math.inf, -math.inf])}, "x", "loaded")
    check_finite({"a": torch.full((8,), 3e38), "b": torch.tensor([1, 2]), "c": torch.zeros(0)}, "x", "loaded")
    check_finite({"a": torch.full((70_000,), 3.0, dtype=torch.float16)}, "x", "loaded")


def sparse(path: Path, size: int) -> Path:
    """A file that claims to be so large and takes no space, with a header that claims one tensor of all of it."""
    header = json.dumps({"backbone.conv1.weight": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    with path.open("wb") as stream:
        stream.write(len(header).to_bytes(8, "little") + header)
        stream.truncate(8 + len(header) + size)
    return path


@pytest.mark.parametrize("words", [["doctor", "{}", "--target", "torchvision"], ["import", "{}", "--out", "{}.out"]])
def test_a_file_of_a_hundred_gigabytes(tmp_path: Path, capsys, words: list[str]) -> None:
    path = sparse(tmp_path / "huge.safetensors", 100 << 30)
    assert main([word.format(path) for word in words]) == 1
    told = capsys.readouterr().err
    assert "at most 4,294,967,296 are read" in told
    assert len(told.splitlines()) <= 3


def test_headers_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "bad.safetensors"
    for content in (b"", b"1234567", (1 << 62).to_bytes(8, "little"), (2).to_bytes(8, "little") + b"[[", b"\xff" * 99):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match="safetensors"):
            read_safetensors(path)
    path.write_bytes((2).to_bytes(8, "little") + b"{}")
    with pytest.raises(CheckpointError, match="no tensors"):
        read_safetensors(path)


def test_a_pipe_in_place_of_the_weights(make_checkpoint) -> None:
    folder, config, _ = make_checkpoint()
    (folder / WEIGHTS).unlink()
    os.mkfifo(folder / WEIGHTS)
    with pytest.raises((CheckpointError, IntegrityError)):
        read_tensors(folder, config)
