"""Render a checkpoint's config as a model card; all numbers come from the config.

Text that a user writes between the two markers is kept when the card is generated again.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any
from urllib.parse import quote

from adept_hub.cards.architecture import NORMS, describe_parts
from adept_hub.cards.card_data import front_matter
from adept_hub.cards.escape import Code, Row, plain, table
from adept_hub.cards.prose import introduction, limitations
from adept_hub.cards.random_share import random_share_caution
from adept_hub.cards.training_kind import labels_in_start
from adept_hub.checkpoint.validate_config import MAX_CARD_BYTES
from adept_hub.errors import CheckpointError
from adept_hub.io.digest import home_of
from adept_hub.io.read import BoundedReader
from adept_hub.io.write import atomic_file
from adept_hub.spec import METHODS, PARTS, CheckpointConfig, Metric, Provenance
from adept_hub.words.sanitize import printable

CARD = "README.md"
BEGIN = "<!-- adept: what stands between these two lines is yours, and is kept -->"
END = "<!-- adept: end of what is yours -->"
PICTURES = ("pictures/*.png", "pictures/*.jpg")

_NO_WORD = re.compile(r"[\W_]+")


def render_card(
    config: CheckpointConfig, *, source: str = "", handwritten: str = "", pictures: Sequence[str] = ()
) -> str:
    """Render the model card (README.md) of a checkpoint: front matter for the Hub, then prose and tables.

    Args:
        config: the checkpoint's config.
        source: the source in the card's commands (``hf-hub:org/name``); default: the name.
        handwritten: Markdown between the markers.
        pictures: paths of pictures, relative to the card (proposals, curves).
    """
    metrics = config.provenance.metrics
    sections = [
        front_matter(config),
        _caution(config),
        f"# {config.name}\n\n{introduction(config)}",
        f"{BEGIN}\n{handwritten.strip()}\n{END}" if handwritten.strip() else f"{BEGIN}\n{END}",
        _use(source or config.name, config),
        "## Parts\n\n" + table(("part", "what", "tensors", "values"), _part_rows(config)),
        _agreement(config),
        _training(config),
        _measurements([m for m in metrics if not _is_tide(m)]),
        _tide([m for m in metrics if _is_tide(m)]),
        _pictures(pictures),
        limitations(config),
        _citation(config.provenance.method),
    ]
    return "\n\n".join(section.strip() for section in sections if section) + "\n"


def handwritten_part(card: str) -> str:
    """Return the hand-written part of a card: the text between the markers, or the whole text without markers.

    A card without markers was written by hand; its front matter, which is generated, is removed, as are control
    characters, which are invisible on a page and which a terminal would interpret.
    """
    if BEGIN in card and END in card:
        return printable(card.split(BEGIN, 1)[1].split(END, 1)[0]).strip()
    lines = card.replace("\r\n", "\n").strip().split("\n")
    if lines[0].strip() == "---" and "---" in (line.strip() for line in lines[1:]):
        lines = lines[2 + [line.strip() for line in lines[1:]].index("---") :]
    return printable("\n".join(lines)).strip()


def write_card(
    folder: Path, config: CheckpointConfig, *, source: str = "", replaces: Path | None = None
) -> Path:  # fmt: skip
    """Write the card into a checkpoint folder, with its pictures; an existing card's hand-written part is kept.

    Args:
        folder: the checkpoint folder.
        config: the checkpoint's config.
        source: the source in the card's commands.
        replaces: the folder that this one will replace, which has the existing card.

    Raises:
        CheckpointError: the existing card cannot be read, is not a regular file, or is a link out of its folder.
    """
    path, old, before = folder / CARD, (replaces or folder) / CARD, ""
    if os.path.lexists(old):
        remedy = "Remove it, then write the card again."
        reader = BoundedReader(CheckpointError, MAX_CARD_BYTES, inside=home_of(old), remedy=remedy)
        before = handwritten_part(reader.text(old))
    card = render_card(config, source=source, handwritten=before, pictures=card_pictures(folder))
    with atomic_file(path) as temporary:
        temporary.write_text(card, encoding="utf-8")
    return path


def card_pictures(folder: Path) -> list[str]:
    """Return the paths of the pictures in a checkpoint folder, relative to its card."""
    return sorted(p.relative_to(folder).as_posix() for pattern in PICTURES for p in folder.glob(pattern))


def _caution(config: CheckpointConfig) -> str:
    text = random_share_caution(config.provenance.random_share)
    return "" if text is None else f"> **{plain(text[0].upper() + text[1:])}**"


def _use(source: str, config: CheckpointConfig) -> str:
    quoted, typed = json.dumps(source, ensure_ascii=False), shlex.quote(source)
    whole = config.parts == PARTS
    parts = ", ".join(json.dumps(part) for part in config.parts) + "," * (len(config.parts) == 1)
    loaded = "" if whole else f", parts=({parts})"
    options = "" if whole else f" --parts {' '.join(config.parts)}"
    # Only torchvision rounds anchors.
    anchors = " --anchors downstream" if config.spec.anchors.generator == "rounded" else ""
    return f"""## Use

```python
import adept_hub

model = adept_hub.load_pretrained({quoted}{loaded}, num_classes=21)
print(model.load_report)  # a torchvision detector, ready to fine-tune
```

```bash
adept export {typed} --to detectron2 --out out_d2{options}{anchors}       # weights and config.yaml
adept export {typed} --to mmdet --out out_mmdet{options}{anchors}         # weights and config.py
adept export {typed} --to torchvision --out out_tv{options}      # weights and build_model.py
```"""


def _part_rows(config: CheckpointConfig) -> list[Row]:
    from adept_hub.models.contract import expected_tensors, part_of

    words, expected = describe_parts(config.spec), expected_tensors(config.spec, config.box_regressor)
    words["head"] += ", a class-agnostic box regressor" * config.box_regressor
    rows: list[Row] = []
    for part in PARTS:
        held = part in config.parts
        shapes = [shape for key, (shape, _) in expected.items() if held and part_of(key) == part]
        what = words[part] if held else "not included"
        rows.append((part, what, str(len(shapes)), f"{sum(prod(shape) for shape in shapes):,}"))
    return rows


def _agreement(config: CheckpointConfig) -> str:
    spec, pixels = config.spec, config.preprocessing
    norms = "trainable batch norms in backbone, FPN and RoI head; none in the RPN"
    if {spec.backbone_norm, spec.fpn_norm, spec.head_norm} != {"bn"}:
        names = {"backbone": spec.backbone_norm, "FPN": spec.fpn_norm, "RoI head": spec.head_norm}
        norms = "; ".join(f"{name}: {NORMS[norm]}" for name, norm in names.items())
    levels = f"P2-P{1 + len(spec.anchors.sizes)}{', rounded' if spec.anchors.generator == 'rounded' else ''}"
    rows: list[Row] = [
        ("channel order", pixels.channel_order.upper()),
        ("mean, std of RGB in [0, 1]", f"{_list(pixels.mean)}; {_list(pixels.std)}"),
        ("norms", norms),
        ("anchors in pre-training", f"{_list(spec.anchors.sizes)} px on {levels}, h/w {_list(spec.anchors.ratios)}"),
        ("anchors downstream", "the same, and twice P5's on P6, unless others are chosen"),
        ("boxes to levels in pre-training", f"sqrt(wh) up to {_list(spec.levels.upper)} px on P2-P5"),
        ("RoIAlign", f"{spec.ROI_SIZE}x{spec.ROI_SIZE}, {_SAMPLING[spec.pooling]}"),
    ]
    return "## Settings that a framework must match\n\n" + table(("setting", "value"), rows)


def _training(config: CheckpointConfig) -> str:
    p = config.provenance
    named = {k: v.get("name", "") if isinstance(v, dict) else v for k, v in p.proposals.items()}
    proposals = ", ".join(f"{k} {v}" for k, v in sorted(named.items()) if v != "")
    rows: list[Row] = [
        ("method", p.method),
        *_starts(p),
        ("data", _data(config)),
        *([("epochs", f"{p.epochs:g}")] if p.images else []),
        *([] if p.random_share is None else [("share of random initial values", f"{p.random_share:.2g}")]),
        ("hardware", p.trained_on or "not recorded"),
        ("proposals", proposals or "none"),
        ("recipe SHA-256", p.recipe_sha256 or "not recorded"),
        ("license of the weights", config.license or "not stated"),
        ("SHA-256 of the weights", config.sha256),
        ("stored as", config.stored_dtype),
    ]
    text = "## Training\n\n" + table(("what", "value"), rows)
    if p.recipe:
        recipe = [(key, str(value)) for key, value in _flatten(p.recipe)]
        text += "\n\n<details><summary>The complete recipe</summary>\n\n" + table(("field", "value"), recipe)
        text += "\n\n</details>"
    return text


def _data(config: CheckpointConfig) -> str:
    p = config.provenance
    labels = {"used": "labeled", "not used": "no labels", "unknown": "labels unknown"}[p.labels]
    words = (p.data, f"{p.images:,} images" if p.images else "", "no labels" if labels_in_start(config) else labels)
    return ", ".join(word for word in words if word)


def _starts(provenance: Provenance) -> list[Row]:
    """Return the rows of the checkpoints that training started from, the direct one first."""
    rows: list[Row] = [
        ("started from" if i == 0 else "which started from", f"{s.name}, {s.license}, SHA-256 {s.sha256}")
        for i, s in enumerate(reversed(provenance.starts))
    ]
    if provenance.relicensed:
        rows.append(("license", "differs from that of the start: the author claims the right to grant it"))
    return rows


def _is_tide(metric: Metric) -> bool:
    return metric.name.upper().startswith("TIDE")


def _measurements(metrics: Sequence[Metric]) -> str:
    if not metrics:
        return "## Measurements\n\nNone yet. The paper's results belong to other weights and are not repeated here."
    return "## Measurements\n\n" + _metric_table(metrics)


def _tide(metrics: Sequence[Metric]) -> str:
    if not metrics:
        return ""
    return "## Errors (TIDE)\n\nThe cost of each kind of error in AP50, by TIDE.\n\n" + _metric_table(metrics)


def _metric_table(metrics: Sequence[Metric]) -> str:
    rows = [
        (m.name, f"{m.value:g}", m.spread or "-", m.data, m.provenance, Code(m.command) if m.command else "-")
        for m in metrics
    ]
    return table(("metric", "value", "spread", "data", "provenance", "command"), rows)


def _pictures(paths: Sequence[str]) -> str:
    if not paths:
        return ""
    images = (f"![{_NO_WORD.sub(' ', Path(p).stem).strip()}]({quote(p)})" for p in paths)
    return "## Pictures\n\n" + "\n\n".join(images)


_SAMPLING = {"aligned": "aligned, adaptive sampling", "unaligned": "not aligned, 2 x 2 samples"}


def _citation(method: str) -> str:
    if method == "detection":
        return _CITATION_OF_DETECTION
    return _CITATION if method in METHODS else ""


_CITATION = """## Citation

The method is ADePT (arXiv 2211.09022), on SoCo (arXiv 2106.02637). These weights are not the papers'."""

_CITATION_OF_DETECTION = """## Citation

The method `detection` is this project's own. It is not that of ADePT (arXiv 2211.09022), whose results do not apply."""


def _flatten(value: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    for key, item in value.items():
        rows += _flatten(item, f"{prefix}{key}.") if isinstance(item, dict) else [(f"{prefix}{key}", item)]
    return rows


def _list(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:g}" for value in values)
