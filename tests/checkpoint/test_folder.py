"""The checkpoint folder: what was written is read, and nothing else is accepted for it."""

from __future__ import annotations

import json
import os
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from adept_hub.checkpoint.folder import (
    CONFIG,
    WEIGHTS,
    read_config,
    read_tensors,
    replace_provenance,
    write_checkpoint,
    write_config,
)
from adept_hub.errors import (
    CheckpointError,
    IncompleteLoadError,
    IntegrityError,
    OutputExistsError,
    PickleRefusedError,
    ShapeMismatchError,
    UnknownKeyError,
)
from adept_hub.models.contract import expected_tensors
from adept_hub.spec import Metric, Provenance
from tests.conftest import SMALL
from tests.hub.headers import data_bytes, read_header, write_sparse

KEYS = list(expected_tensors(SMALL))


@pytest.fixture
def sparse(make_checkpoint) -> tuple[Path, Any, dict[str, Any]]:
    """A checkpoint folder, its config and its header; the weights are read without their digest."""
    folder, config, _ = make_checkpoint()
    return folder, config, read_header(folder / WEIGHTS)


def refused(folder: Path, config: Any, header: dict[str, Any] | bytes, size: int, error: type[Exception]) -> str:
    write_sparse(folder / WEIGHTS, header, size)
    with pytest.raises(error) as caught:
        read_tensors(folder, config, verified=False)
    assert 1 <= len(str(caught.value).splitlines()) <= 3
    assert len(str(caught.value)) < 1000
    return str(caught.value)


def test_what_was_written_is_read(make_checkpoint) -> None:
    folder, config, parts = make_checkpoint()
    assert read_config(folder) == config
    tensors = read_tensors(folder, config)
    assert list(tensors) == list(parts.state_dict()) or tensors.keys() == parts.state_dict().keys()
    assert all(torch.equal(tensors[key], value) for key, value in parts.state_dict().items())
    assert sorted(p.name for p in folder.iterdir()) == [CONFIG, WEIGHTS]
    assert (config.size, config.sha256) == ((folder / WEIGHTS).stat().st_size, config.sha256)


def test_half_files_keep_statistics_whole(make_checkpoint) -> None:
    folder, config, parts = make_checkpoint(half=True)
    header = read_header(folder / WEIGHTS)
    assert header["backbone.conv1.weight"]["dtype"] == "F16"
    assert header["backbone.bn1.running_var"]["dtype"] == "F32"
    tensors = read_tensors(folder, config)
    assert torch.equal(tensors["backbone.bn1.running_var"], parts.backbone.bn1.running_var)
    assert torch.equal(tensors["fpn.inner_blocks.0.0.weight"], parts.fpn.inner_blocks[0][0].weight.half().float())
    assert {t.dtype for t in tensors.values()} == {torch.float32, torch.int64}, "half is for the file alone"


def test_every_tensor_name_and_shape_counts(sparse) -> None:
    """Each of the 200 tensors lost, renamed, reshaped and retyped in the file's own header."""
    folder, config, header = sparse
    assert set(header) - {"__metadata__"} == set(KEYS)
    size = data_bytes(header)
    write_sparse(folder / WEIGHTS, header, size)
    read_tensors(folder, config, verified=False)
    for key in KEYS:
        entry = header[key]
        rest = {k: v for k, v in header.items() if k != key}
        renamed = refused(folder, config, rest | {f"{key}x": entry}, size, UnknownKeyError)
        assert f"{key}x" in renamed
        shape = [*entry["shape"], 1]
        assert key in refused(folder, config, rest | {key: entry | {"shape": shape}}, size, ShapeMismatchError)
        other = {"F32": "I32", "I64": "F64"}[entry["dtype"]]
        assert key in refused(folder, config, rest | {key: entry | {"dtype": other}}, size, ShapeMismatchError)


def test_a_lost_tensor_and_a_lost_part(sparse) -> None:
    folder, config, header = sparse
    last = max(KEYS, key=lambda key: header[key]["data_offsets"][1])
    without = {key: value for key, value in header.items() if key != last}
    assert last in refused(folder, config, without, data_bytes(without), IncompleteLoadError)
    (folder / WEIGHTS).unlink()
    with pytest.raises(CheckpointError, match=f"has no {WEIGHTS}"):
        read_tensors(folder, config)


def test_a_wrong_spec_in_the_config_is_noticed_before_a_tensor_is_read(make_checkpoint) -> None:
    folder, config, _ = make_checkpoint()
    for change in ({"depth": 50}, {"fpn_channels": 64}, {"head_fc_channels": 65}, {"head_conv_channels": 31}):
        with pytest.raises((UnknownKeyError, IncompleteLoadError, ShapeMismatchError)):
            read_tensors(folder, replace(config, spec=replace(config.spec, **change)))


@pytest.mark.parametrize("at", [0, 7, 9, 5000, -1, 0.5])
def test_one_changed_byte_anywhere_is_noticed(make_checkpoint, at: float) -> None:
    folder, config, _ = make_checkpoint()
    read_tensors(folder, config)  # verified once: remembered
    path = folder / WEIGHTS
    content = bytearray(path.read_bytes())
    index = int(len(content) * at) if isinstance(at, float) else at
    content[index] ^= 1
    stat = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    with pytest.raises(IntegrityError, match=WEIGHTS):
        read_tensors(folder, config)


@pytest.mark.parametrize("keep", [0, 4, 8, 100, 20_000, -1])
def test_a_truncated_file_is_noticed_with_and_without_its_digest(make_checkpoint, keep: int) -> None:
    folder, config, _ = make_checkpoint()
    content = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(content[:keep])
    for verified in (True, False):
        with pytest.raises(IntegrityError):
            read_tensors(folder, config, verified=verified)


def test_a_header_beyond_all_bounds_is_refused_unread(sparse) -> None:
    folder, config, header = sparse
    padded = json.dumps(header).encode() + b" " * (2 << 20)
    assert "header claims" in refused(folder, config, padded, data_bytes(header), IntegrityError)
    (folder / WEIGHTS).write_bytes((1 << 63).to_bytes(8, "little") + b"{}")
    with pytest.raises(IntegrityError, match="header claims"):
        read_tensors(folder, config, verified=False)


def test_tensors_that_are_not_those_of_the_spec_are_not_written(make_checkpoint, tmp_path: Path) -> None:
    _, _, parts = make_checkpoint()
    good = parts.state_dict()
    arguments: dict[str, Any] = {
        "name": "a_b.c",
        "spec": SMALL,
        "provenance": Provenance("soco", "d", 1, 1.0, "target"),
        "license": "mit",
        "parts": ("backbone", "fpn", "rpn", "head"),
    }
    key = "fpn.inner_blocks.0.0.weight"
    nan = good["backbone.conv1.weight"].clone()
    nan[0, 0, 0, 0] = float("nan")
    for tensors, error in (
        ({k: v for k, v in good.items() if k != key}, IncompleteLoadError),
        (good | {key: good[key][:1]}, ShapeMismatchError),
        (good | {"neck.weight": good[key]}, UnknownKeyError),
        (good | {"backbone.conv1.weight": nan}, CheckpointError),
    ):
        with pytest.raises(error):
            write_checkpoint(tmp_path / "new", tensors, **arguments)
        assert not (tmp_path / "new").exists()
    for change in ({"name": "No Name"}, {"license": "mit\nevil: true"}):
        with pytest.raises(CheckpointError):
            write_checkpoint(tmp_path / "new", good, **(arguments | change))
        assert not (tmp_path / "new").exists()
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "mine.txt").write_text("precious")
    with pytest.raises(OutputExistsError):
        write_checkpoint(tmp_path / "new", good, **arguments)
    assert (tmp_path / "new" / "mine.txt").read_text() == "precious"


class _Code:
    def __reduce__(self):
        return os.system, ("touch /tmp/adept_hub_was_here",)


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".pkl", ".bin", ".ckpt", ".tar"])
def test_pickles_are_refused_unopened(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(pickle.dumps(_Code()))
    with pytest.raises(PickleRefusedError, match="could run code"):
        read_config(path)


def test_a_pickle_under_the_name_of_the_weights_is_refused(make_checkpoint) -> None:
    folder, config, _ = make_checkpoint()
    torch.save({"backbone.conv1.weight": torch.zeros(3)}, folder / WEIGHTS)
    for verified in (True, False):
        with pytest.raises(IntegrityError):
            read_tensors(folder, config, verified=verified)


def test_what_is_no_checkpoint_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place, why in (
        (tmp_path, "has no config.json"), (tmp_path / "nothing", "does not exist"), (tmp_path / "file", "is a file")
    ):  # fmt: skip
        with pytest.raises(CheckpointError, match=f"is not a checkpoint folder: it {why}"):
            read_config(place)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe{}",
        b"[]",
        b"null",
        b"[" * 100_000,
        b'{"name": ' * 50_000,
        b"9" * 10_000,
        b'{"name": NaN}',
        b" " * (5 << 20),
    ],
)
def test_config_files_that_are_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / CONFIG).write_bytes(content)
    with pytest.raises(CheckpointError, match=CONFIG) as caught:
        read_config(tmp_path)
    assert len(str(caught.value).splitlines()) <= 3


def test_the_old_spelling_of_the_first_format(make_checkpoint) -> None:
    folder, _, _ = make_checkpoint()
    data = json.loads((folder / CONFIG).read_text())
    data["licence"] = data.pop("license")
    (folder / CONFIG).write_text(json.dumps(data))
    with pytest.raises(CheckpointError, match=r"unknown field 'licence'\. .*Did you mean 'license'\?"):
        read_config(folder)
    (folder / CONFIG).write_text(json.dumps(data | {"format_version": 1}))
    with pytest.raises(CheckpointError, match=r"has format 1, .* reads format 2\.\nWrite it again"):
        read_config(folder)


def test_metrics_are_added_without_touching_the_weights(make_checkpoint) -> None:
    folder, config, _ = make_checkpoint()
    before = (folder / WEIGHTS).stat()
    metric = Metric("AP50", 12.5, "voc", "self-reported")
    changed = replace_provenance(folder, metrics=(metric,))
    assert read_config(folder) == changed == replace(config, provenance=replace(config.provenance, metrics=(metric,)))
    assert (folder / WEIGHTS).stat() == before


def test_a_config_that_could_not_be_read_again_is_not_written(make_checkpoint) -> None:
    folder, config, _ = make_checkpoint()
    with pytest.raises(CheckpointError, match="epochs"):
        write_config(folder, replace(config, provenance=replace(config.provenance, epochs=float("nan"))))
    assert read_config(folder) == config
