"""Read, validate and write a checkpoint's config.json.

This module does not import torch, so that commands can look at a checkpoint without waiting for it.
"""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

from adept_hub.checkpoint.validate_config import MAX_CONFIG_BYTES, MAX_CONFIG_VALUES, check_config, check_format
from adept_hub.errors import CheckpointError, PickleRefusedError
from adept_hub.io.digest import home_of
from adept_hub.io.paths import is_dir, what_is
from adept_hub.io.read import BoundedReader, parse_json
from adept_hub.io.schema import from_dict, to_dict
from adept_hub.io.write import atomic_file
from adept_hub.spec import CheckpointConfig

WEIGHTS = "model.safetensors"
CONFIG = "config.json"
CARD = "README.md"
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
    return parse_config(checkpoint_reader(path, MAX_CONFIG_BYTES).read(path), str(path))


def checkpoint_reader(path: Path, limit: int) -> BoundedReader:
    """Return the reader of a file in a checkpoint folder.

    Args:
        path: the file.
        limit: maximum size in bytes.
    """
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
