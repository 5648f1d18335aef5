"""Read facts from files: a Detectron2 YAML, an MMDetection config, or any weights file of the three frameworks."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from adept_hub.checkpoint.state_files import read_state
from adept_hub.convert.facts import Facts
from adept_hub.convert.framework import Framework
from adept_hub.convert.structure import read_structure
from adept_hub.errors import CheckpointError, UnsupportedModelError
from adept_hub.frameworks.recognize import recognize
from adept_hub.io.schema import from_dict

if TYPE_CHECKING:
    pass


def facts_of_file(path: Path, framework: Framework, *, run_config: bool = False) -> Facts:
    """Read the facts of the detector in a config or weights file.

    Args:
        path: a Detectron2 ``.yaml``, an MMDetection ``.py``, ``.yaml`` or ``.json``, or a weights file.
        framework: the framework of the file.
        run_config: whether a Python config may be executed, which is the only way to read one.

    Raises:
        CheckpointError: not such a file, not readable, malformed, or a Python config without ``run_config``.
        PickleRefusedError: a weights file with pickled objects other than tensors.
        MissingExtraError: PyYAML is not installed.
        UnsupportedModelError: the weights are not those of a two-stage FPN detector, or of another framework.
    """
    if path.suffix in framework.config_suffixes:
        return _checked(path, lambda: framework.read_config(path, run_config))
    if path.suffix in (".pth", ".pt", ".pkl", ".safetensors", ".bin"):
        return facts_of_shapes({key: tuple(t.shape) for key, t in read_state(path).items()}, framework)
    raise CheckpointError(
        f"{path} is neither a config of {framework.name} nor a weights file.\n"
        f"Configs of {framework.name}: {framework.config_kind}; weights: .pth, .safetensors."
    )


def _checked(path: Path, read: Callable[[], Facts]) -> Facts:
    """Read facts from an untrusted config and check the type of every value."""
    try:
        facts = read()
        _check_numbers(facts)
        return from_dict(Facts, {f.name: getattr(facts, f.name) for f in fields(facts)}, f"{path}, as read")
    except (KeyError, IndexError) as error:
        reason = f"{error.args[0]!r} is missing" if error.args else "a value is missing"
        raise CheckpointError(f"{path} is malformed: {reason}.\nCompare it with a stock config.") from error
    except (TypeError, ValueError, AttributeError, ArithmeticError, SyntaxError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(
            f"{path} is malformed: a value has the wrong type ({reason}).\nCompare it with a stock config."
        ) from error


def _check_numbers(facts: Facts) -> None:
    for name in ("mean", "std"):
        numbers = getattr(facts, name)
        if len(numbers) != 3 or not all(math.isfinite(number) for number in numbers):
            raise ValueError(f"{name} must be three numbers")
    if not facts.anchor_sizes or not all(facts.anchor_sizes):
        raise ValueError("every level must have an anchor")


def facts_of_shapes(shapes: Mapping[str, tuple[int, ...]], framework: Framework) -> Facts:
    """Return the facts in the names and shapes of a detector's tensors: not preprocessing, strides or anchors."""
    recognized = recognize(shapes)
    name = recognized.framework.name
    if recognized.framework.patterns != framework.patterns:  # a variant of a framework has the same names
        raise UnsupportedModelError(
            f"The names of the tensors are those of {name}, not of {framework.name}.\nUse --target {name}"
        )
    inside = {k.removeprefix(recognized.prefix): s for k, s in shapes.items() if k.startswith(recognized.prefix)}
    has = read_structure(inside, framework.layout)
    names = {"none": "", "BN": "BN", "FrozenBN": "FrozenBN", "GN": "GN"}
    return Facts(
        depth=has.depth,
        backbone_norm=names[has.backbone_norm],
        fpn_norm=names[has.fpn_norm],
        fpn_channels=has.fpn_channels,
        p6="convolutions" if has.fpn_extra_convs else "pool",
        rpn_convs=has.rpn_convs,
        rpn_softmax=has.rpn_softmax,
        head_convs=has.head_convs,
        head_fcs=has.head_fcs,
        head_conv_channels=has.head_conv_channels,
        head_fc_channels=has.head_fc_channels,
        head_norm=names[has.head_norm],
    )
