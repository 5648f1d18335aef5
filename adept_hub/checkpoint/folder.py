"""The checkpoint folder: model.safetensors, config.json, README.md. Read, written, validated; never pickled."""

from __future__ import annotations

import dataclasses
import json
import os
import reprlib
from collections.abc import Callable, Mapping
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from adept_hub.checkpoint.validate import (
    MAX_CONFIG_BYTES,
    MAX_CONFIG_VALUES,
    MAX_WEIGHT_BYTES,
    check_config,
    check_format,
)
from adept_hub.checkpoint.weights_file import check_finite, open_tensors
from adept_hub.errors import CheckpointError, PickleRefusedError, ShapeMismatchError, UnknownKeyError
from adept_hub.io.digest import home_of, sha256_file, verify
from adept_hub.io.paths import is_dir, what_is
from adept_hub.io.read import BoundedReader, parse_json
from adept_hub.io.schema import from_dict, to_dict
from adept_hub.io.write import atomic_file, atomic_folder
from adept_hub.models.contract import check_tensors, expected_tensors
from adept_hub.spec import CheckpointConfig, DetectorSpec, Preprocessing, Provenance

WEIGHTS = "model.safetensors"
CONFIG = "config.json"
CARD = "README.md"
_FLOATS = ("F32", "F16")
_PICKLED = (".pth", ".pt", ".pkl", ".pyth", ".bin", ".ckpt", ".tar")


def read_config(folder: Path) -> CheckpointConfig:
    """The config of a checkpoint folder.

    Raises:
        CheckpointError: the folder or its config.json is missing or cannot be read.
        PickleRefusedError: ``folder`` is a pickled file.
    """
    if folder.suffix in _PICKLED and os.path.isfile(folder):  # noqa: PTH113  # False of names that are too long, too
        raise PickleRefusedError(
            f"{folder} is a pickled file, which could run code when loaded; checkpoints here are safetensors folders.\n"
            f"Give the folder that holds {WEIGHTS} and {CONFIG}."
        )
    path = folder / CONFIG
    if not os.path.lexists(path):
        why = f"it has no {CONFIG}" if is_dir(folder) else f"it {what_is(folder)}"
        raise CheckpointError(
            f"{folder} is not a checkpoint folder: {why}.\nA checkpoint folder holds {WEIGHTS} and {CONFIG}."
        )
    return parse_config(_door(path, MAX_CONFIG_BYTES).read(path), str(path))


def _door(path: Path, limit: int) -> BoundedReader:
    return BoundedReader(CheckpointError, limit, inside=home_of(path), remedy="Fetch or export the checkpoint again.")


def parse_config(content: bytes, where: str) -> CheckpointConfig:
    """The config in the bytes of a config.json.

    Raises:
        CheckpointError: not JSON, a field unknown, missing or of the wrong type, or a value out of bounds.
    """
    if content.count(b",") > MAX_CONFIG_VALUES:
        raise CheckpointError(f"{where} holds more than {MAX_CONFIG_VALUES:,} values: it is no config of a checkpoint.")
    data = parse_json(content, where, CheckpointError, remedy="Fetch or export the checkpoint again.")
    check_format(data, where)
    return check_config(from_dict(CheckpointConfig, data, where), where)


def read_tensors(folder: Path, config: CheckpointConfig, *, verified: bool = True) -> dict[str, Tensor]:
    """The canonical tensors of a checkpoint folder, floating ones as float32.

    float32 tensors are mapped from the file (copy on write), float16 ones are converted.

    Args:
        folder: a checkpoint folder.
        config: its config, from `read_config`.
        verified: compare the file with the digest in the config (once for an unchanged file).

    Raises:
        CheckpointError: no weights, not a safetensors file, or a value that is not finite.
        IntegrityError: the file's content is not what the digest promises.
        UnknownKeyError, IncompleteLoadError, ShapeMismatchError: the tensors are not the ones the config promises;
            this is known from the header, before any tensor is read.
    """
    path = folder / WEIGHTS
    if not os.path.lexists(path):
        raise CheckpointError(f"{folder} has no {WEIGHTS}.\nFetch or export the checkpoint again.")
    _door(path, MAX_WEIGHT_BYTES).check(path)
    if verified:
        verify(path, config.sha256, config.size)
    with open_tensors(path) as file:
        slices = {key: file.get_slice(key) for key in file.keys()}  # noqa: SIM118  # safe_open is no mapping
        shapes = {key: tuple(s.get_shape()) for key, s in slices.items()}
        _check_printable(shapes, str(path))
        check_tensors(shapes, config.spec, config.parts, str(path))
        _check_dtypes({key: s.get_dtype() for key, s in slices.items()}, config.spec, str(path))
        tensors = {key: file.get_tensor(key) for key in slices}
    tensors = {key: t.float() if t.is_floating_point() else t for key, t in tensors.items()}
    check_finite(tensors, str(path), "loaded")
    return tensors


def _check_printable(shapes: Mapping[str, tuple[int, ...]], where: str) -> None:
    """What follows names tensors in its messages; a name or shape from anywhere is bounded first."""
    for key, shape in shapes.items():
        if len(key) > 200 or not key.isprintable() or len(shape) > 8:
            raise UnknownKeyError(
                f"{where}: {reprlib.repr(key)} with {len(shape)} dimensions is no tensor of a detector."
            )


def _check_dtypes(dtypes: Mapping[str, str], spec: DetectorSpec, where: str) -> None:
    for key, (_, dtype) in expected_tensors(spec).items():
        promised = _FLOATS if dtype.is_floating_point else ("I64",)
        if key in dtypes and dtypes[key] not in promised:
            raise ShapeMismatchError(
                f"{where}: {key!r} holds {dtypes[key]} values; a checkpoint has {' or '.join(promised)} there."
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
    """Write a checkpoint folder, whole or not at all.

    Args:
        folder: where; must not exist, or be empty, unless ``overwrite``.
        tensors: canonical keys; exactly those of ``parts``.
        preprocessing: mean and std of the network's input; ImageNet's by default.
        half: store weights as float16 (running statistics stay float32); they are loaded as float32.
        overwrite: replace a folder that is there.
        more: called with the folder before it takes its name, and the config, to put further files into it.

    Returns:
        The config as written, with digest and size.

    Raises:
        OutputExistsError, DiskFullError: about the folder.
        UnknownKeyError, IncompleteLoadError, ShapeMismatchError: ``tensors`` are not those of ``spec`` and ``parts``.
        CheckpointError: a tensor holds a value that is not finite.
    """
    check_tensors({key: tuple(t.shape) for key, t in tensors.items()}, spec, parts, "the tensors to be saved")
    stored: dict[str, Tensor] = {}
    for key in expected_tensors(spec):
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
        )
        write_config(temporary, config)
        if more is not None:
            more(temporary, config)
    return config


def write_config(folder: Path, config: CheckpointConfig) -> None:
    """Write config.json into an existing folder.

    Raises:
        CheckpointError: a value that `read_config` would refuse.
    """
    path = folder / CONFIG
    text = config_text(config, str(path))
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def config_text(config: CheckpointConfig, where: str = CONFIG) -> str:
    """The content of config.json.

    Raises:
        CheckpointError: a value that `read_config` would refuse.
    """
    check_config(config, where)
    return json.dumps(to_dict(config), indent=2) + "\n"


def replace_provenance(folder: Path, **changes: object) -> CheckpointConfig:
    """Change fields of a written checkpoint's provenance (measured metrics, say); the weights stay as they are."""
    config = read_config(folder)
    provenance = dataclasses.replace(config.provenance, **changes)  # type: ignore[arg-type]  # checked by the dataclass
    config = dataclasses.replace(config, provenance=provenance)
    write_config(folder, config)
    return config
