"""Read, validate and write checkpoint folders: model.safetensors, config.json and README.md, without pickles."""

from __future__ import annotations

import dataclasses
import json
import os
import reprlib
from collections.abc import Callable, Mapping
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from adept_hub.checkpoint.validate_config import (
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
    """Read the config of a checkpoint folder.

    Raises:
        CheckpointError: the folder or its config.json is missing or cannot be read.
        PickleRefusedError: ``folder`` is a pickled file.
    """
    if folder.suffix in _PICKLED and os.path.isfile(folder):  # noqa: PTH113  # False also for names that are too long
        raise PickleRefusedError(
            f"{folder} is a pickled file, which could run code when loaded; a checkpoint is a folder.\n"
            f"Pass the folder that contains {WEIGHTS} and {CONFIG}."
        )
    path = folder / CONFIG
    if not os.path.lexists(path):
        why = f"it has no {CONFIG}" if is_dir(folder) else f"it {what_is(folder)}"
        raise CheckpointError(
            f"{folder} is not a checkpoint folder: {why}.\n"
            f"A checkpoint folder contains {WEIGHTS} and {CONFIG}, as export/ and best/ in a run do. "
            "To get one: adept pull adept_joint"
        )
    return parse_config(_reader(path, MAX_CONFIG_BYTES).read(path), str(path))


def _reader(path: Path, limit: int) -> BoundedReader:
    return BoundedReader(CheckpointError, limit, inside=home_of(path), remedy="Fetch or export the checkpoint again.")


def parse_config(content: bytes, where: str) -> CheckpointConfig:
    """Parse the content of a config.json.

    Raises:
        CheckpointError: not JSON, a field is unknown, missing or of the wrong type, or a value is out of range.
    """
    if content.count(b",") > MAX_CONFIG_VALUES:
        raise CheckpointError(f"{where} has more than {MAX_CONFIG_VALUES:,} values: it is not a checkpoint's config.")
    data = parse_json(content, where, CheckpointError, remedy="Fetch or export the checkpoint again.")
    check_format(data, where)
    return check_config(from_dict(CheckpointConfig, data, where), where)


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
    _reader(path, MAX_WEIGHT_BYTES).check(path)
    if verified:
        verify(path, config.sha256, config.size)
    with open_tensors(path) as file:
        slices = {key: file.get_slice(key) for key in file.keys()}  # noqa: SIM118  # safe_open is not a mapping
        shapes = {key: tuple(s.get_shape()) for key, s in slices.items()}
        _check_printable(shapes, str(path))
        check_tensors(shapes, config.spec, config.parts, str(path))
        _check_dtypes({key: s.get_dtype() for key, s in slices.items()}, config.spec, str(path))
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


def _check_dtypes(dtypes: Mapping[str, str], spec: DetectorSpec, where: str) -> None:
    for key, (_, dtype) in expected_tensors(spec).items():
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
        tensors: the tensors of ``parts``, no others, by canonical key.
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
        CheckpointError: `read_config` would refuse a value.
    """
    path = folder / CONFIG
    text = config_text(config, str(path))
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def config_text(config: CheckpointConfig, where: str = CONFIG) -> str:
    """Return the content of config.json.

    Raises:
        CheckpointError: `read_config` would refuse a value.
    """
    check_config(config, where)
    return json.dumps(to_dict(config), indent=2) + "\n"


def replace_provenance(folder: Path, **changes: object) -> CheckpointConfig:
    """Change fields of a checkpoint's provenance, such as its metrics; the weights are not changed."""
    config = read_config(folder)
    provenance = dataclasses.replace(config.provenance, **changes)  # type: ignore[arg-type]  # checked by the dataclass
    config = dataclasses.replace(config, provenance=provenance)
    write_config(folder, config)
    return config
