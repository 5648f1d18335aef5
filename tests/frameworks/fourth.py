"""Two frameworks that adept_hub does not have: a variant of MMDetection, and one with names of its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from adept_hub.convert.facts import Facts
from adept_hub.convert.framework import Framework, InferenceSettings
from adept_hub.convert.keymap import KeyRow
from adept_hub.convert.options import Target
from adept_hub.frameworks import MMDET
from adept_hub.io.schema import from_dict
from adept_hub.spec import CheckpointConfig

#: VBTI's fork: MMDetection's names and configs, another package and another command.
ONEDL = replace(MMDET, name="onedl", next_steps=lambda out: f"Fine-tune: python -m onedl.train {out / 'config.py'}")

_RENAMED = (("backbone", "trunk"), ("neck", "pyramid"), ("rpn_head", "proposer"), ("roi_head", "regions"))


def _renamed(text: str) -> str:
    for old, new in _RENAMED:
        text = text.replace(old, new)
    return text


def _rows(rows: Iterable[KeyRow]) -> tuple[KeyRow, ...]:
    return tuple(row._replace(target=_renamed(row.target)) for row in rows)


def _all(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(map(_renamed, texts))


def _write(
    config: CheckpointConfig, target: Target, weights: str, parts: Iterable[str], settings: InferenceSettings | None
) -> str:
    mean, std = (tuple(255 * x for x in v) for v in (config.preprocessing.mean, config.preprocessing.std))
    facts = Facts("rgb", mean, std, depth=config.spec.depth, anchor_sizes=((target.anchor_sizes(config.spec)[0],),))
    content = {"facts": asdict(facts), "weights": weights, "parts": sorted(parts)}
    return json.dumps(content | ({"classes": settings.classes, "score": settings.score} if settings else {}))


def _read(path: Path, run_config: bool) -> Facts:
    assert not run_config
    return from_dict(Facts, json.loads(path.read_text())["facts"], str(path))


def _pixels(module: nn.Module) -> Facts | None:
    mean: Any = getattr(module, "pixels", None)
    return None if mean is None else Facts("bgr", tuple(mean.tolist()), (58.395, 57.12, 57.375))


def _wrap(state: Mapping[str, Tensor], classes: tuple[str, ...]) -> dict[str, Any]:
    return {"network": dict(state), "labels": list(classes)}


_anchors: Callable[[tuple[float, ...]], str] = lambda sizes: "/".join(f"{size:g}" for size in sizes)  # noqa: E731

#: Nothing of it is MMDetection's but the modules that it is made of.
VISIONARY: Framework = replace(
    MMDET,
    name="visionary",
    body=_rows(MMDET.body),
    box_head=_renamed(MMDET.box_head),
    fresh=_all(MMDET.fresh),
    box_predictor=_rows(MMDET.box_predictor),
    mask_head=_rows(MMDET.mask_head),
    buffers=(r"pixels",),
    background_first=True,
    layout=replace(
        MMDET.layout,
        parts={part: _renamed(pattern) for part, pattern in MMDET.layout.parts.items()},
        **{
            name: _renamed(getattr(MMDET.layout, name))
            for name in ("block", "fpn_conv", "fpn_extra", "rpn_conv", "rpn_cls", "rpn_reg", "box_head")
        },
        stem_norm=_all(MMDET.layout.stem_norm),
        fpn_norm=_all(MMDET.layout.fpn_norm),
    ),
    patterns=MMDET.patterns._replace(
        marker=_renamed(MMDET.patterns.marker),
        two_stage=_all(MMDET.patterns.two_stage),
        cascade=_renamed(MMDET.patterns.cascade),
        mask=_renamed(MMDET.patterns.mask),
        without_fpn=((r"trunk\.stem\.weight", "a Visionary detector on patches"),),
    ),
    counted_norms=("backbone", "head"),
    stock=Facts("bgr", (1.0, 2.0, 3.0), (1.0, 1.0, 1.0), depth=34, frozen_stages=4),
    config_suffixes=(".visionary",),
    config_kind=".visionary",
    read_config=_read,
    read_pixels=_pixels,
    none_frozen=3,
    pixel_scale=1,
    remedies={code: f"visionary {code} {{want}}" if "want" in text else f"visionary {code}"
              for code, text in MMDET.remedies.items()},
    anchor_setting=_anchors,
    weights_file="weights.pt",
    config_file="settings.visionary",
    write_config=_write,
    wrap=_wrap,
    next_steps=lambda out: f"visionary {out}",
)  # fmt: skip
