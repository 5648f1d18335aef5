"""The architectures of a comparison's sources, and what differs between them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import prod

from adept_hub.cards.architecture import describe_parts
from adept_hub.io.schema import to_dict
from adept_hub.models.contract import expected_tensors
from adept_hub.models.determined import completed
from adept_hub.spec import CheckpointConfig, DetectorSpec

_LABELS = {"used": "yes", "not used": "no", "unknown": "unknown"}
#: Names of tensors that are not parameters.
_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
_SAMPLING = {"aligned": "aligned", "unaligned": "not aligned"}


@dataclass(frozen=True)
class Architecture:
    """One source's architecture in words, its number of parameters without predictors, and whether labels were used."""

    source: str
    backbone: str
    fpn: str
    rpn: str
    head: str
    parameters: int
    labels: str


def describe(source: str, spec: DetectorSpec, labels: str) -> Architecture:
    """Return the architecture of a spec."""
    words = describe_parts(spec)
    words["backbone"] = words["backbone"].replace("torchvision's layout, ", "")
    rounded = ", rounded anchors" if spec.anchors.generator == "rounded" else ""
    count = sum(
        prod(shape) for key, (shape, _) in expected_tensors(spec).items() if key.rpartition(".")[2] not in _STATISTICS
    )
    head = f"{words['head']}, RoIAlign {_SAMPLING[spec.pooling]}"
    parts = (words["backbone"], words["fpn"], f"{words['rpn']}{rounded}", head)
    return Architecture(source, *parts, parameters=count, labels=labels)


def architectures_of(sources: Mapping[str, CheckpointConfig | None], scratch: DetectorSpec) -> tuple[Architecture, ...]:
    """Return the architecture of every source; None stands for random values in the architecture ``scratch``.

    Parts that a source lacks have the architecture of ``scratch``, too.
    """
    return tuple(
        describe(name, completed(config.spec, config.parts, scratch), _LABELS[config.provenance.labels])
        if config
        else describe(name, scratch, "no")
        for name, config in sources.items()
    )


def differing(found: Sequence[Architecture]) -> tuple[str, ...]:
    """Return the names of the properties that are not the same in all sources."""
    rows = [asdict(one) for one in found]
    names = ("backbone", "fpn", "rpn", "head", "parameters")
    return tuple(name for name in names if len({row[name] for row in rows}) > 1)


def caution(found: Sequence[Architecture]) -> str:
    """Return a sentence about what differs besides the weights, or an empty one."""
    lines = []
    if names := differing(found):
        where = {"fpn": "FPN", "rpn": "RPN", "head": "RoI head", "parameters": "number of parameters"}
        shown = ", ".join(where.get(name, name) for name in names)
        lines.append(
            f"The sources differ in architecture ({shown}), so that not all of a difference is pre-training's."
        )
    if labeled := [one.source for one in found if one.labels == "yes"]:
        lines.append(f"Labels were used before: {', '.join(labeled)}.")
    if unknown := [one.source for one in found if one.labels == "unknown"]:
        lines.append(f"Whether labels were used before is unknown: {', '.join(unknown)}.")
    return " ".join(lines)


def digest_of(spec: DetectorSpec) -> str:
    """Return 16 digits that identify an architecture."""
    return hashlib.sha256(json.dumps(to_dict(spec), sort_keys=True).encode()).hexdigest()[:16]
