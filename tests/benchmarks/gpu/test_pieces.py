"""Checkpoints in pieces and joined again."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from benchmarks.gpu.pieces import join, split


def test_pieces_join_to_the_checkpoint_in_half_precision(tmp_path: Path) -> None:
    tensors = {"a": torch.randn(50, 40), "n": torch.tensor(7)}
    save_file(tensors, tmp_path / "model.safetensors")
    (out := tmp_path / "out").mkdir()
    pieces = split(tmp_path, out, "x.y", piece=350)
    assert len(pieces) == 12
    assert sorted(out.iterdir()) == sorted(pieces)
    join(pieces[::-1], tmp_path / "whole")
    joined = load_file(tmp_path / "whole")
    assert torch.equal(joined["a"], tensors["a"].half())
    assert torch.equal(joined["n"], tensors["n"])
    for lacking in (pieces[1:], pieces[:-1]):
        with pytest.raises(ValueError, match="not all pieces"):
            join(lacking, tmp_path / "other")
    pieces[2].write_bytes(bytes(350))
    with pytest.raises(ValueError, match="damaged"):
        join(pieces, tmp_path / "other")
