"""The variants of `benchmarks.gpu.speed`, in the order of importance. Nothing here imports torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

R50, R18 = ("model.depth=50",), ("model.depth=18", "model.fpn_channels=128", "views.sizes=[112,112,56]")
SOCO = (*R50, "method.name=soco", "method.head_mode=all_levels", "views.box_sets=separate")


@dataclass(frozen=True)
class Variant:
    """One row of the table."""

    name: str
    kind: Literal["machine", "bare", "step", "parts", "fed"]
    settings: tuple[str, ...] = R50
    batch: int = 64
    lane: Literal["eager", "compiled", "loader"] = "eager"
    #: torch.compile's mode; None: eager.
    compile: str | None = None
    #: cuDNN times its algorithms.
    benchmark: bool = False
    channels_last: bool = True
    #: Variants whose images/s are the unit: today's step, and a bare ResNet at equal pixels.
    base: str = "joint_r50"
    yardstick: str = "bare_r50"


def _r18(name: str, **changes: Any) -> Variant:
    values = {"settings": R18, "batch": 256, "base": "joint_r18_112", "yardstick": "bare_r18_112", **changes}
    return Variant(name, values.pop("kind", "step"), **values)


VARIANTS = (
    Variant("machine", "machine"),
    Variant("bare_r50", "bare"),
    Variant("joint_r50", "step"),
    _r18("joint_r18_112"),
    Variant("joint_r50_compiled", "step", lane="compiled", compile="default"),
    _r18("joint_r18_112_compiled", lane="compiled", compile="default"),
    Variant("soco_r50_all_levels", "step", SOCO),
    _r18("fed_r18_112_cached", kind="fed", settings=(*R18, "data.cache=true"), lane="loader"),
    _r18("fed_r18_112", kind="fed", lane="loader"),
    Variant("joint_r50_parts", "parts"),
    Variant("joint_r50_cudnn_benchmark", "step", benchmark=True),
    Variant("fed_r50_cached", "fed", (*R50, "data.cache=true"), lane="loader"),
    _r18("bare_r18_112", kind="bare"),
    Variant("joint_r50_by_size", "step", (*R50, "method.target_pass=by_size")),
    Variant("joint_r50_graphs", "step", lane="compiled", compile="reduce-overhead"),
    Variant("bare_r50_compiled", "bare", lane="compiled", compile="default"),
    Variant("fed_r50", "fed", lane="loader"),
    Variant("joint_r50_nchw", "step", channels_last=False),
)
