"""Read, validate and write checkpoint folders: model.safetensors, config.json and README.md, without pickles."""

from __future__ import annotations

import os
import reprlib
from collections.abc import Callable, Mapping
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from adept_hub.checkpoint.config_file import CARD as CARD
from adept_hub.checkpoint.config_file import CONFIG as CONFIG
from adept_hub.checkpoint.config_file import WEIGHTS as WEIGHTS
from adept_hub.checkpoint.config_file import checkpoint_reader
from adept_hub.checkpoint.config_file import config_text as config_text
from adept_hub.checkpoint.config_file import parse_config as parse_config
from adept_hub.checkpoint.config_file import read_config as read_config
from adept_hub.checkpoint.config_file import replace_provenance as replace_provenance
from adept_hub.checkpoint.config_file import write_config as write_config
from adept_hub.checkpoint.validate_config import MAX_WEIGHT_BYTES
from adept_hub.checkpoint.weights_file import check_finite, open_tensors
from adept_hub.errors import CheckpointError, ShapeMismatchError, UnknownKeyError
from adept_hub.io.digest import sha256_file, verify
from adept_hub.io.write import atomic_folder
from adept_hub.models.contract import BOX_REGRESSOR, check_tensors, expected_tensors
from adept_hub.spec import CheckpointConfig, DetectorSpec, Preprocessing, Provenance

_FLOATS = ("F32", "F16")


def read_tensors(folder: Path, config: CheckpointConfig, *, verified: bool = True) -> dict[str, Tensor]:
    """Read the canonical tensors of a checkpoint folder; floating-point ones are returned as float32.

    float32 tensors are mapped from the file (copy on write), float16 ones are converted.

    Args:
        folder: a checkpoint folder.
        config: its config, from `read_config`.
        verified: compare the file with the digest in the config (once for an unchanged file).

    Raises:
        CheckpointError: the weights are missing, not a safetensors file, or have a value that is not finite.
        IntegrityError: the file's content does not match the digest.
        UnknownKeyError, IncompleteLoadError, ShapeMismatchError: the tensors do not match the config; this is checked
            in the header, before any tensor is read.
    """
    path = folder / WEIGHTS
    if not os.path.lexists(path):
        raise CheckpointError(f"{folder} has no {WEIGHTS}.\nFetch or export the checkpoint again.")
    checkpoint_reader(path, MAX_WEIGHT_BYTES).check(path)
    if verified:
        verify(path, config.sha256, config.size)
    with open_tensors(path) as file:
        slices = {key: file.get_slice(key) for key in file.keys()}  # noqa: SIM118  # safe_open is not a mapping
        shapes = {key: tuple(s.get_shape()) for key, s in slices.items()}
        _check_printable(shapes, str(path))
        check_tensors(shapes, config.spec, config.parts, str(path), box_regressor=config.box_regressor)
        _check_dtypes({key: s.get_dtype() for key, s in slices.items()}, config, str(path))
        tensors = {key: file.get_tensor(key) for key in slices}
    tensors = {key: t.float() if t.is_floating_point() else t for key, t in tensors.items()}
    check_finite(tensors, str(path), "loaded")
    return tensors


def _check_printable(shapes: Mapping[str, tuple[int, ...]], where: str) -> None:
    """Limit the length of untrusted names and shapes, since later messages quote them."""
    for key, shape in shapes.items():
        if len(key) > 200 or not key.isprintable() or len(shape) > 8:
            raise UnknownKeyError(
                f"{where}: {reprlib.repr(key)} with {len(shape)} dimensions is not a tensor of a detector."
            )


def _check_dtypes(dtypes: Mapping[str, str], config: CheckpointConfig, where: str) -> None:
    for key, (_, dtype) in expected_tensors(config.spec, config.box_regressor).items():
        promised = _FLOATS if dtype.is_floating_point else ("I64",)
        if key in dtypes and dtypes[key] not in promised:
            raise ShapeMismatchError(
                f"{where}: {key!r} has dtype {dtypes[key]}; a checkpoint needs {' or '.join(promised)}."
            )


def write_checkpoint(
    folder: Path,
    tensors: Mapping[str, Tensor],
    *,
    name: str,
    spec: DetectorSpec,
    provenance: Provenance,
    license: str,
    parts: tuple[str, ...],
    preprocessing: Preprocessing | None = None,
    half: bool = False,
    overwrite: bool = False,
    more: Callable[[Path, CheckpointConfig], object] | None = None,
) -> CheckpointConfig:
    """Write a checkpoint folder atomically.

    Args:
        folder: the output folder; it must not exist, or be empty, unless ``overwrite``.
        tensors: the tensors of ``parts``, no others, by canonical key; a head's may include a box regressor.
        preprocessing: mean and std of the network's input; default: ImageNet's.
        half: store weights as float16 (running statistics stay float32); they are loaded as float32.
        overwrite: replace an existing folder.
        more: a function that adds files; called with the temporary folder and the config.

    Returns:
        The config as written, with digest and size.

    Raises:
        OutputExistsError, DiskFullError: the folder is not empty, or cannot be written.
        UnknownKeyError, IncompleteLoadError, ShapeMismatchError: ``tensors`` are not those of ``spec`` and ``parts``.
        CheckpointError: a tensor has a value that is not finite.
    """
    shapes, box_regressor = {key: tuple(t.shape) for key, t in tensors.items()}, BOX_REGRESSOR[0] in tensors
    check_tensors(shapes, spec, parts, "the tensors to be saved", box_regressor=box_regressor)
    stored: dict[str, Tensor] = {}
    for key in expected_tensors(spec, box_regressor):
        if key not in tensors:
            continue
        tensor = tensors[key].detach().cpu()
        tensor = tensor.float() if tensor.is_floating_point() else tensor
        if half and tensor.is_floating_point() and "running_" not in key:
            tensor = tensor.half()
        stored[key] = tensor.contiguous()
    check_finite(stored, str(folder), "saved")
    with atomic_folder(folder, overwrite=overwrite) as temporary:
        path = temporary / WEIGHTS
        save_file(stored, path, metadata={"format": "pt"})
        config = CheckpointConfig(
            name=name,
            spec=spec,
            provenance=provenance,
            license=license,
            sha256=sha256_file(path),
            size=path.stat().st_size,
            parts=parts,
            preprocessing=preprocessing or Preprocessing(),
            stored_dtype="float16" if half else "float32",
            box_regressor=box_regressor,
        )
        write_config(temporary, config)
        if more is not None:
            more(temporary, config)
    return config
