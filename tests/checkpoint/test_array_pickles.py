"""Detectron2's pickles of arrays: read as NumPy reads them, and nothing in them is ever run."""

from __future__ import annotations

import codecs
import collections
import os
import pickle
import tracemalloc

import numpy as np
import pytest
import torch
from torchvision.models import resnet18

from adept_hub.checkpoint.array_pickles import load_arrays_only
from adept_hub.checkpoint.state_files import read_state
from adept_hub.errors import CheckpointError, PickleRefusedError
from adept_hub.foreign.import_weights import import_layout, recognize_layout
from tests.foreign import foreign


def written(tmp_path, content, protocol=4):
    path = tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps(content, protocol))
    return path


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_arrays_arrive_as_numpy_wrote_them(protocol, tmp_path):
    generator = np.random.default_rng(0)
    arrays = {
        "c": generator.standard_normal((3, 4, 5)).astype(np.float32),
        "fortran": np.asfortranarray(generator.standard_normal((3, 4, 5))),
        "number": np.array(7),
        "empty": np.zeros((0, 3), np.float16),
        "bytes": np.arange(256, dtype=np.uint8),
    }
    path = written(tmp_path, {"model": collections.OrderedDict(arrays), "matching_heuristics": True}, protocol)
    found = read_state(path)
    assert found.keys() == arrays.keys()
    for key, array in arrays.items():
        assert torch.equal(found[key], torch.from_numpy(array.copy()))
    found["c"].zero_()  # its own memory, writable


def test_what_the_converters_of_moco_and_detco_write_is_imported(tmp_path):
    backbone = {key: t for key, t in resnet18().state_dict().items() if not key.startswith("fc.")}
    arrays = {foreign.detectron2(key): tensor.numpy() for key, tensor in backbone.items()}
    state = read_state(written(tmp_path, {"model": arrays, "__author__": "OpenSelfSup", "matching_heuristics": True}))
    assert recognize_layout(state) == "detectron2-backbone"
    found, spec = import_layout(state, "detectron2-backbone")
    assert spec.depth == 18
    assert all(torch.equal(found[f"backbone.{key}"], tensor) for key, tensor in backbone.items())


class Evil:
    def __init__(self, call, *arguments) -> None:
        self.it = (call, arguments)

    def __reduce__(self):
        return self.it


class Stateful:
    """An object whose state would be set on something that is no array."""

    def __reduce__(self):
        return (collections.OrderedDict, (), {"x": 1})


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (Evil(os.system, "touch ran"), "posix.system"),
        (Evil(eval, "1"), "builtins.eval"),
        (Evil(np.zeros, 10**12), "numpy"),
        (Evil(getattr, "text", "encode"), "builtins.getattr"),
        (Stateful(), "a state for dict"),
        (np.array([{}], dtype=object), "array of type"),
    ],
)
def test_whatever_is_no_array_is_named_and_not_run(content, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match=name) as caught:
        load_arrays_only(written(tmp_path, {"model": {"a": np.zeros(2), "b": content}}))
    assert not (tmp_path / "ran").exists()
    assert isinstance(caught.value, PickleRefusedError) or "array of type" in name


@pytest.mark.parametrize("cut", [1, 7, 60, 200])
def test_a_cut_file_is_damaged(cut, tmp_path):
    path = written(tmp_path, {"model": {"a": np.zeros(100)}})
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(CheckpointError):
        load_arrays_only(path)


def test_lengths_that_are_only_claimed_are_not_allocated(tmp_path):
    path = tmp_path / "x.pkl"
    for claim in (
        b"\x80\x05\x96" + (1 << 28).to_bytes(8, "little") + b"abc.",  # BYTEARRAY8
        b"\x80\x02}r" + (1 << 28).to_bytes(4, "little") + b".",  # a memo place far away
    ):
        path.write_bytes(claim)
        tracemalloc.start()
        with pytest.raises(CheckpointError):
            load_arrays_only(path)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 1 << 22


@pytest.mark.parametrize("content", [[1, 2], {"a": 1}, {"model": {"a": np.zeros(1), "b": 2}}, {}])
def test_a_pickle_without_a_state_dict_is_refused(content, tmp_path):
    with pytest.raises(CheckpointError, match="no mapping of names to arrays"):
        load_arrays_only(written(tmp_path, content))


TEXT = "x" * 1_000_000
PAIRS = [[i, i] for i in range(10_000)]
AGAIN = {
    "text": [Evil(codecs.encode, TEXT, "latin1") for _ in range(2000)],
    "mapping": [Evil(collections.OrderedDict, PAIRS) for _ in range(2000)],
    "arrays": dict.fromkeys(map(str, range(2000)), np.zeros(1_000_000, np.uint8)),
    "number": [Evil(np._core.numeric._frombuffer, 10**11, np.dtype("u1"), (10**11,), "C")],
}


@pytest.mark.parametrize("kind", AGAIN)
def test_bytes_that_are_named_again_and_again_are_not_copied_as_often(kind, tmp_path):
    path = written(tmp_path, AGAIN[kind])
    assert path.stat().st_size < 2_000_000
    tracemalloc.start()
    with pytest.raises(CheckpointError):
        load_arrays_only(path)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 30_000_000


def test_torch_s_own_files_are_still_torch_s(tmp_path):
    for zipped in (True, False):
        torch.save({"a": torch.ones(2)}, tmp_path / "x.pkl", _use_new_zipfile_serialization=zipped)
        assert torch.equal(read_state(tmp_path / "x.pkl")["a"], torch.ones(2))
