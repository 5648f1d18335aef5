"""Read any weights file: safetensors, a .pth of tensors, or a .pkl of arrays."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from adept_hub.checkpoint.array_pickles import is_array_pickle, load_arrays_only
from adept_hub.checkpoint.tensor_files import load_tensors_only
from adept_hub.checkpoint.weights_file import read_safetensors
from adept_hub.errors import CheckpointError
from adept_hub.io.paths import is_file, not_a


def read_state(path: Path) -> dict[str, Tensor]:
    """Read the state dict in a weights file.

    The file may be safetensors, a .pth of tensors (at the top level, or under ``model`` or ``state_dict``), or a
    Detectron2 .pkl of arrays.

    Raises:
        CheckpointError: the file is missing, damaged, or has no tensors.
        PickleRefusedError: the file has pickled objects other than tensors.
    """
    if not is_file(path):
        raise CheckpointError(not_a("a weights file", path))
    if path.suffix == ".pkl" and is_array_pickle(path):
        return load_arrays_only(path)
    if path.suffix != ".safetensors":
        return load_tensors_only(path)
    return read_safetensors(path)
