"""Read the config.json of a timm repository or folder: the architecture, mean, std and license of a ResNet."""

from __future__ import annotations

import math
import re
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from adept_hub.checkpoint.validate_config import LICENSE
from adept_hub.errors import CheckpointError, UnsupportedModelError
from adept_hub.names import is_name
from adept_hub.spec import Preprocessing

#: timm's architectures whose tensors and computation are those of torchvision's ResNets.
ARCHITECTURES: Mapping[str, int] = {
    "resnet18": 18, "resnet34": 34, "resnet50": 50, "resnet101": 101,
    "tv_resnet34": 34, "tv_resnet50": 50, "tv_resnet101": 101,
}  # fmt: skip
#: The weights in a repository or folder that timm wrote without safetensors.
PICKLED_WEIGHTS = "pytorch_model.bin"
#: Arguments of timm's models that change neither a tensor nor the computation up to C5.
_HARMLESS = frozenset({"num_classes", "in_chans", "global_pool", "drop_rate"})
_DEEP_STEM = re.compile(r"resnet\d+[cdst](_.*)?")
_CARD_LICENSE = re.compile(r"^license:[ \t]*['\"]?([A-Za-z0-9][A-Za-z0-9.+_-]*)['\"]?[ \t]*$", re.MULTILINE)


@dataclass(frozen=True)
class TimmFacts:
    """Facts of a timm model; ``license`` is ``unknown`` if its config does not state one."""

    architecture: str
    preprocessing: Preprocessing
    license: str = "unknown"
    tag: str = "imported"


def is_timm_config(data: object) -> bool:
    """Check whether parsed JSON is a config.json that timm wrote."""
    return isinstance(data, dict) and isinstance(data.get("architecture"), str) and "spec" not in data


def read_timm_config(data: Mapping[str, Any], where: str) -> TimmFacts:
    """Return the facts of a timm config.

    Args:
        data: the parsed JSON.
        where: the source, for messages.

    Raises:
        UnsupportedModelError: the model is not a plain ResNet-18, -34, -50 or -101 for RGB images.
        CheckpointError: the config lacks mean and std, or has values of the wrong type.
    """
    architecture = data["architecture"]
    if architecture not in ARCHITECTURES:
        stem = ", whose stem has three convolutions," if _DEEP_STEM.fullmatch(architecture) else ""
        raise UnsupportedModelError(
            f"{where} is {reprlib.repr(architecture)}{stem} and not one of {', '.join(list(ARCHITECTURES)[:4])}.\n"
            "Use one of these as a backbone, such as hf-hub:timm/resnet50.a1_in1k"
        )
    # Early versions of timm wrote the fields of pretrained_cfg at the top level.
    config = data.get("pretrained_cfg", data)
    arguments = data.get("model_args") or {}
    if not isinstance(config, dict) or not isinstance(arguments, dict):
        raise CheckpointError(f"{where}: pretrained_cfg or model_args is not a mapping; timm did not write it.")
    if others := sorted(str(name) for name in set(arguments) - _HARMLESS):
        raise UnsupportedModelError(
            f"{where} was built with {', '.join(others)[:200]} (model_args), which changes what the network computes.\n"
            "Use a plain ResNet as a backbone, such as hf-hub:timm/resnet50.a1_in1k"
        )
    channels = (config.get("input_size") or [3])[0] if isinstance(config.get("input_size", [3]), list) else 3
    if channels != 3:
        raise UnsupportedModelError(
            f"{where} takes images of {channels!r:.20} channels; a backbone takes RGB.\n"
            "Use weights for RGB, such as hf-hub:timm/resnet50.a1_in1k"
        )
    pixels = Preprocessing(mean=_numbers(config, "mean", where), std=_numbers(config, "std", where))
    named, tag = str(config.get("license") or "unknown").strip(), str(config.get("tag") or "imported")
    return TimmFacts(
        architecture, pixels,
        license=named if LICENSE.fullmatch(named) else "unknown",
        tag=tag if is_name(f"timm.{tag}") else "imported",
    )  # fmt: skip


def license_of_card(text: str) -> str:
    """Return the license in the metadata of a Hub's README.md; ``unknown`` if there is none."""
    metadata = text.split("\n---", 1)[0] if text.startswith("---") else ""
    found = _CARD_LICENSE.search(metadata)
    return found[1] if found else "unknown"


def _numbers(config: Mapping[str, Any], name: str, where: str) -> tuple[float, float, float]:
    values = config.get(name)
    plain = isinstance(values, list) and len(values) == 3 and all(type(x) in (int, float) for x in values)
    if not plain or not all(math.isfinite(x) and (x > 0 or name == "mean") for x in values or ()):
        raise CheckpointError(
            f"{where}: {name} of its pretrained_cfg is {reprlib.repr(values)}, not three numbers.\n"
            "Save it again with timm, or give them: adept import FILE --layout timm --mean 0.485 0.456 0.406 "
            "--std 0.229 0.224 0.225 --out DIR"
        )
    one, two, three = map(float, values or ())
    return one, two, three
