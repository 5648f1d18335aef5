"""Validate an untrusted config.json: names and numbers must be in range before anything is built from them."""

from __future__ import annotations

import math
import re
import reprlib
from typing import Any

from adept_hub.errors import CheckpointError
from adept_hub.names import is_name
from adept_hub.spec import FORMAT_VERSION, PARTS, CheckpointConfig, DetectorSpec

#: Maximum number of channels; ResNet-101's widest layer has 2,048.
MAX_CHANNELS = 8192
#: Maximum size of model.safetensors; a float32 ResNet-101 detector has 0.3 GB.
MAX_WEIGHT_BYTES = 4 << 30
MAX_CONFIG_BYTES = 4 << 20
MAX_CARD_BYTES = 8 << 20
MAX_CONFIG_VALUES = 20_000
_MAX_DEPTH = 12
_MAX_TEXT = 20_000

_DIGEST = re.compile(r"[0-9a-f]{64}")
_WORD = re.compile(r"[a-z][a-z0-9_]{0,63}")
LICENSE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+ _-]{0,99}|")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")


def check_format(data: object, where: str) -> None:
    """Check the format version of a config before any other field of it is read.

    Args:
        data: the parsed content of config.json or detector.json.
        where: the path of the file, for the message.

    Raises:
        CheckpointError: the file has a format version that this version of adept-hub does not read.
    """
    version = data.get("format_version", FORMAT_VERSION) if isinstance(data, dict) else FORMAT_VERSION
    if isinstance(version, int) and version != FORMAT_VERSION:
        raise CheckpointError(
            f"{where} has format {version}, but this version of adept-hub reads format {FORMAT_VERSION}.\n"
            + (
                "In the checkout: git pull && pip install ."
                if version > FORMAT_VERSION
                else "Write it again with this version."
            )
        )


def check_config(config: CheckpointConfig, where: str) -> CheckpointConfig:
    """Return the config if all of its values are valid for a checkpoint.

    Args:
        config: a config whose types `adept_hub.io.schema.from_dict` has checked.
        where: its name in messages.

    Raises:
        CheckpointError: a value is not valid; the message has its field.
    """
    if not is_name(config.name):
        _refuse(where, "name", config.name, "is not a valid model name (architecture.tag)")
    if not config.parts or len(set(config.parts)) != len(config.parts) or set(config.parts) - set(PARTS):
        _refuse(where, "parts", config.parts, f"are not among {', '.join(PARTS)}")
    if not _DIGEST.fullmatch(config.sha256):
        _refuse(where, "sha256", config.sha256, "is not a valid SHA-256")
    if not 8 < config.size <= MAX_WEIGHT_BYTES:
        _refuse(where, "size", config.size, f"is not a valid size of weights (at most {MAX_WEIGHT_BYTES:,} bytes)")
    if not LICENSE.fullmatch(config.license):
        _refuse(where, "license", config.license, "is not a valid license identifier")
    if not _WORD.fullmatch(config.provenance.method):
        _refuse(where, "provenance.method", config.provenance.method, "is not a valid method")
    if config.provenance.images < 0 or config.provenance.epochs < 0:
        _refuse(where, "provenance.images, epochs", config.provenance.epochs, "are negative")
    random_share = config.provenance.random_share
    if random_share is not None and not 0 <= random_share <= 1:
        _refuse(where, "provenance.random_share", random_share, "is not between 0 and 1")
    if any(value <= 0 for value in config.preprocessing.std):
        _refuse(where, "preprocessing.std", config.preprocessing.std, "are not all positive")
    if config.box_regressor and "head" not in config.parts:
        _refuse(where, "box_regressor", True, "belongs to a head, which is not among the parts")
    _check_spec(config.spec, where)
    for i, start in enumerate(config.provenance.starts):
        if not 0 < len(start.name) <= 200 or not start.name.isprintable():
            _refuse(where, f"provenance.starts[{i}].name", start.name, "is not a name of at most 200 characters")
        if not _DIGEST.fullmatch(start.sha256):
            _refuse(where, f"provenance.starts[{i}].sha256", start.sha256, "is not a valid SHA-256")
        if not LICENSE.fullmatch(start.license):
            _refuse(where, f"provenance.starts[{i}].license", start.license, "is not a valid license identifier")
    _check_plain(vars(config), where)
    return config


def _check_spec(spec: DetectorSpec, where: str) -> None:
    for field in ("fpn_channels", "head_conv_channels", "head_fc_channels"):
        if not 1 <= getattr(spec, field) <= MAX_CHANNELS:
            _refuse(where, f"spec.{field}", getattr(spec, field), f"is not between 1 and {MAX_CHANNELS}")
    for field, values in (
        ("anchors.sizes", spec.anchors.sizes),
        ("anchors.ratios", spec.anchors.ratios),
        ("levels.upper", spec.levels.upper),
    ):
        if not 1 <= len(values) <= 16 or not all(0 < value < 1e6 for value in values):
            _refuse(where, f"spec.{field}", values, "are not 1 to 16 positive numbers")
    if len(spec.anchors.sizes) not in (4, 5):
        _refuse(where, "spec.anchors.sizes", spec.anchors.sizes, "are not four or five: one for each of P2-P5 or P2-P6")
    if spec.stride_in_1x1 and spec.depth < 50:
        _refuse(where, "spec.stride_in_1x1", True, f"is not valid: the blocks of a ResNet-{spec.depth} have no 1x1")
    if spec.head == "2fc" and spec.head_norm != "none":
        _refuse(where, "spec.head_norm", spec.head_norm, "is not valid: a head of two fc layers has no norms")


def _check_plain(values: dict[str, Any], where: str) -> None:
    """Check the depth, number and type of all values, since later code recurses into them and prints them."""
    left: list[tuple[str, Any, int]] = [(key, value, 0) for key, value in values.items()]
    seen = 0
    while left:
        path, value, depth = left.pop()
        seen += 1
        if seen > MAX_CONFIG_VALUES or depth > _MAX_DEPTH:
            _refuse(where, path, value, "is too deep or too large")
        if hasattr(value, "__dataclass_fields__"):
            value = vars(value)
        if isinstance(value, dict):
            left += [(f"{path}.{key}"[:200], item, depth + 1) for key, item in value.items()]
            left += [(path, key, depth + 1) for key in value]
        elif isinstance(value, (list, tuple)):
            left += [(path, item, depth + 1) for item in value]
        elif isinstance(value, str):
            if len(value) > _MAX_TEXT or _CONTROL.search(value):
                _refuse(where, path, value, "is too long or contains control characters")
        elif isinstance(value, float):
            if not math.isfinite(value):
                _refuse(where, path, value, "is not finite")
        elif isinstance(value, int):
            if abs(value) > 1 << 64:
                _refuse(where, path, value, "is too large")
        elif value is not None:
            _refuse(where, path, value, "is not a plain value")


def _refuse(where: str, field: str, value: object, why: str) -> None:
    raise CheckpointError(
        f"{where}: {reprlib.repr(field)[1:-1]} {reprlib.repr(value)} {why}.\n"
        "The checkpoint is damaged or was not written by adept-hub: fetch or export it again."
    )
