"""Preview the inputs of a run before it starts: views, boxes, levels and positive anchors of a few samples.

Legend: N images (one here), K boxes, L levels, A anchors. Boxes are xyxy in pixels of their view.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.utils.data import default_collate

from adept_hub.io.write import atomic_file
from adept_hub.models.parts import STRIDES
from adept_hub.spec import Preprocessing
from adept_training.data.arrays import Array, Pixels
from adept_training.data.cuts import detector_pixels, view_pixels
from adept_training.data.detector_view import DetectorBatch
from adept_training.data.loader import Batch, BoxBatch, ImageSamples
from adept_training.data.photometric import apply_colors
from adept_training.method.levels import assign_levels
from adept_training.method.rpn import POSITIVE, label_anchors, make_anchors, valid_targets
from adept_training.pretraining.recipe import Recipe
from adept_training.proposals.pictures import LEVEL_COLORS, panel

#: Side of a panel in pixels.
SIDE = 300
FILLER = "#ffffff"
_PAPER, _INK = "#fcfcfa", "#1f2328"
_GAP, _TITLE, _HEAD = 12, 20, 72


@dataclass(frozen=True)
class ViewPanel:
    """One view with the boxes to draw on it, a color and a few letters per box."""

    title: str
    pixels_HWC: Pixels
    boxes_K4: Array
    colors: list[str]
    names: list[str]
    line: int = 3
    #: Number of positive anchors; None if the panel shows no anchors.
    positives: int | None = None


def draw_preview(samples: ImageSamples[Any], places: Sequence[tuple[int, int]], recipe: Recipe, path: Path) -> str:
    """Write a PNG: a row per (epoch, index) of ``places``, a panel per view, and the RPN's positive anchors.

    Returns:
        A warning if samples have no positive anchor in any view, so that they do not train the RPN; else empty.

    Raises:
        ImagesError: an image cannot be read. DiskFullError: the file cannot be written.
    """
    rows = [make_panels(default_collate([samples[place]]), recipe) for place in places]
    width = max(len(row) for row in rows) * (SIDE + _GAP) + _GAP
    sheet = Image.new("RGB", (width, _HEAD + len(rows) * (_TITLE + SIDE + _GAP)), _PAPER)
    _heading(sheet, recipe)
    for y, row in enumerate(rows):
        for x, of_view in enumerate(row):
            left, top = _corner(x, y)
            sheet.paste(_draw(of_view), (left, top))
            ImageDraw.Draw(sheet).text((left, top - 17), of_view.title, fill=_INK, font=ImageFont.load_default(13))
    with atomic_file(path) as temporary:
        sheet.save(temporary, format="PNG", optimize=True)
    return without_anchors(rows)


def without_anchors(rows: Sequence[Sequence[ViewPanel]]) -> str:
    """Return a warning if the RPN has no positive anchor in some of the rows; empty if it has, or is not trained."""
    counts = [[panel.positives for panel in row if panel.positives is not None] for row in rows]
    empty = sum(bool(row) and sum(row) == 0 for row in counts)
    if not empty:
        return ""
    return (
        f"{empty} of {len(rows)} samples have no positive anchor: from such images the RPN learns no object. "
        "Fit model.anchors.sizes to the boxes, in pixels of the view"
    )


def make_panels(batch: Batch | DetectorBatch, recipe: Recipe) -> list[ViewPanel]:
    """Create the panels of a batch of one: each view as the network sees it, then the RPN's with positive anchors."""
    if isinstance(batch, DetectorBatch):
        return _detector_panels(batch, recipe)
    pixels = view_pixels(batch, recipe.views.sizes)
    views = [
        _seen(apply_colors(x, view.colors, Preprocessing())[0]) for x, view in zip(pixels, batch.views, strict=True)
    ]
    shared = len(batch.boxes1_S) == 1
    shown = [(f"V1{'' if shared else f' with V{i + 2}'}", 0, boxes) for i, boxes in enumerate(batch.boxes1_S)]
    shown += [("V2", 1, batch.boxes2), ("V3", 2, batch.boxes3)]
    if not recipe.method.contrasts:
        shown = []
    ids = sorted({int(i) for _, _, boxes in shown for i in boxes.ids_NK[0]})
    panels = []
    for name, view, boxes in shown:
        title = f"{name}, {recipe.views.sizes[view]} px"
        if recipe.method.name == "byol":
            panels.append(ViewPanel(title, views[view], np.zeros((0, 4), np.float32), [], []))
            continue
        real_K = boxes.real_NK[0].tolist()
        levels_K = assign_levels(boxes.boxes_NK4, recipe.model.levels)[0].tolist()
        colors = [LEVEL_COLORS[n] if real else FILLER for n, real in zip(levels_K, real_K, strict=True)]
        names = [
            str(ids.index(i) + 1) if real else "" for i, real in zip(boxes.ids_NK[0].tolist(), real_K, strict=True)
        ]
        order = sorted(range(len(real_K)), key=lambda k: real_K[k])  # a filler must not hide the box that it duplicates
        boxes_K4 = boxes.boxes_NK4[0][order].numpy()
        panels.append(ViewPanel(title, views[view], boxes_K4, [colors[k] for k in order], [names[k] for k in order]))
    if recipe.method.trains_rpn:
        targets = (batch.targets1, batch.boxes2, batch.boxes3)
        for view in range(1 if recipe.method.rpn.views == "v1" else 3):
            others = (batch.others1.boxes_NK4, batch.others1.real_NK) if view == 0 else None
            panels.append(_anchors(view, views[view], targets[view], others, recipe))
    return panels


def _detector_panels(batch: DetectorBatch, recipe: Recipe) -> list[ViewPanel]:
    """Create the panels of detection: objects by level, numbered from the best on, and positive anchors."""
    seen = _seen(apply_colors(detector_pixels(batch, recipe.views.sizes[0]), batch.view.colors, Preprocessing())[0])
    real_K = batch.objects.real_NK[0]
    boxes_K4 = batch.objects.boxes_NK4[0][real_K]
    colors = [LEVEL_COLORS[n] for n in assign_levels(boxes_K4, recipe.model.levels).tolist()]
    names = [str(rank + 1) for rank in batch.objects.ids_NK[0][real_K].tolist()]
    others = (batch.others.boxes_NK4, batch.others.real_NK)
    anchors = _anchors(0, seen, batch.objects, others, recipe)
    return [
        ViewPanel(f"view, {recipe.views.sizes[0]} px", seen, boxes_K4.numpy(), colors, names),
        replace(anchors, title=anchors.title.replace("V1", "view")),
    ]


def _anchors(
    view: int,
    pixels_HWC: Pixels,
    targets: BoxBatch,
    others: tuple[Tensor, Tensor] | None,
    recipe: Recipe,
) -> ViewPanel:
    """Draw positive anchors in the colors of their levels, with the RPN's targets in white."""
    size, rpn = recipe.views.sizes[view], recipe.method.rpn
    maps = [torch.zeros(1, 1, math.ceil(size / stride), math.ceil(size / stride)) for stride in STRIDES]
    anchors_LA4 = make_anchors(recipe.model.anchors, maps)
    valid_NK = valid_targets(targets.boxes_NK4, targets.real_NK, rpn)
    label_NA, _ = label_anchors(torch.cat(anchors_LA4), targets.boxes_NK4, valid_NK, rpn, others)
    positive_LA = [x == POSITIVE for x in torch.split(label_NA[0], [len(a) for a in anchors_LA4])]
    found_L = [anchors_A4[mask] for anchors_A4, mask in zip(anchors_LA4, positive_LA, strict=True)]
    wanted_K4 = targets.boxes_NK4[0][valid_NK[0]]
    counts = ", ".join(f"{len(found)} on P{i + 2}" for i, found in enumerate(found_L) if len(found)) or "none"
    colors = [LEVEL_COLORS[i] for i, found in enumerate(found_L) for _ in found] + [FILLER] * len(wanted_K4)
    boxes_K4 = torch.cat([*found_L, wanted_K4]).numpy()
    return ViewPanel(
        f"V{view + 1}, positive anchors: {counts}", pixels_HWC // 2, boxes_K4, colors, [""] * len(boxes_K4), 2,
        sum(len(found) for found in found_L),
    )  # fmt: skip


def _seen(image_CHW: Tensor) -> Pixels:
    """Convert a normalized image to pixels."""
    preprocessing = Preprocessing()
    mean, std = (torch.tensor(x)[:, None, None] for x in (preprocessing.mean, preprocessing.std))
    pixels_HWC = ((image_CHW * std + mean) * 255).round().clamp(0, 255).permute(1, 2, 0)
    return pixels_HWC.to(torch.uint8).numpy()


def _draw(of_view: ViewPanel) -> Image.Image:
    drawn = panel(of_view.pixels_HWC, of_view.boxes_K4, of_view.colors, of_view.line, SIDE)
    pen, font = ImageDraw.Draw(drawn), ImageFont.load_default(13)
    scale = SIDE / of_view.pixels_HWC.shape[0]
    for (x1, y1, _, _), color, name in zip(of_view.boxes_K4 * scale, of_view.colors, of_view.names, strict=True):
        if name:
            place = (min(float(x1) + 6, SIDE - 14), min(float(y1) + 5, SIDE - 18))
            left, top, right, bottom = pen.textbbox(place, name, font=font)
            pen.rectangle((left - 3, top - 2, right + 3, bottom + 2), fill=color)
            pen.text(place, name, fill="#ffffff", font=font)
    return drawn


def _corner(x: int, y: int) -> tuple[int, int]:
    """Return left and top of the panel in column ``x`` and row ``y``."""
    return _GAP + x * (SIDE + _GAP), _HEAD + _TITLE + y * (_TITLE + SIDE + _GAP)


def _heading(sheet: Image.Image, recipe: Recipe) -> None:
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    words = "Views as the network sees them. A number is one box of the image, in every view; white: a filler."
    if recipe.method.trains_rpn:
        words = words.replace("a filler.", "a filler, or a target among anchors.")
    if recipe.method.name == "detection":
        words = "A number is the rank of an object in its image's list; white: an object."
    pen.text((_GAP, 8), f"{recipe.method.name}: the first samples of the run", fill=_INK, font=font)
    pen.text((_GAP, 28), words, fill=_INK, font=font)
    left = float(_GAP)
    for level, (color, upper) in enumerate(zip(LEVEL_COLORS, recipe.model.levels.upper, strict=True)):
        text = f"P{level + 2}: up to {upper:g} px" if level < 3 else f"P{level + 2}: larger"
        pen.rectangle((left, 51, left + 12, 63), fill=color)
        pen.text((left + 18, 49), text, fill=_INK, font=font)
        left += 40 + pen.textlength(text, font=font)
