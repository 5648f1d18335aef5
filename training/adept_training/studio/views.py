"""The views of an image as training sees them: boxes by level, and the RPN's positive anchors.

The panels are those of a run's preview.png: nothing of the method is written a second time here.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch.utils.data import default_collate

from adept_hub.errors import ImageDecodeError
from adept_training.images import FileImages, ImageSource
from adept_training.pretraining.recipe import Recipe
from adept_training.pretraining.setup import make_samples
from adept_training.pretraining.watch.preview import ViewPanel, make_panels
from adept_training.pretraining.watch.probe import split_keys
from adept_training.proposals.pictures import LEVEL_COLORS
from adept_training.proposals.table.store import ProposalTable
from adept_training.studio.image_sets import ImageSet, rounded
from adept_training.studio.pixels import data_address, jpeg
from adept_training.studio.proposals import Tables

#: Side of a small view on the page, pixels: smaller ones are enlarged, so that their pixels are seen as they are.
_SIDE = 320


@dataclass(frozen=True)
class _OneImage:
    """A source that has one image, under the key of the table."""

    key: str
    content: bytes

    def keys(self) -> list[str]:
        return [self.key]

    def read(self, key: str) -> bytes:
        if key != self.key:
            raise ImageDecodeError(f"{key} is not shown")
        return self.content

    def subset(self, keys: Sequence[str]) -> ImageSource:
        return self if self.key in keys else FileImages(Path(), ())


@dataclass(frozen=True)
class ViewMaker:
    """Draw the views of a recipe on the images of a table, which must have the boxes of the run."""

    recipe: Recipe
    tables: Tables
    t: int

    @functools.cached_property
    def _order(self) -> tuple[dict[str, int], int]:
        """Return the number of each key in the order of training, and how many are trained on; then come the rest."""
        train, held = split_keys(self.tables.table(self.t).keys(), self.recipe.data.held_out)
        return {key: number for number, key in enumerate([*train, *held])}, len(train)

    def document(self, images: ImageSet, i: int, epoch: int) -> dict[str, Any]:
        """Return the panels of an image; ``missing`` if the table lacks it."""
        content = images.read(i)
        key = self.tables.row(self.t, content)
        if key is None:
            return {"missing": self.tables.names[self.t]}
        numbers, trained = self._order
        table: ProposalTable = self.tables.table(self.t)
        samples = make_samples(self.recipe, _OneImage(key, content), table, list(numbers), None)
        panels = make_panels(default_collate([samples[epoch, numbers[key]]]), self.recipe)
        return {
            "method": self.recipe.method.name, "epoch": epoch, "held_out": numbers[key] >= trained,
            "levels": list(self.recipe.model.levels.upper[:3]), "anchors": list(self.recipe.model.anchors.sizes),
            "panels": [_panel(one) for one in panels],
        }  # fmt: skip


def _panel(one: ViewPanel) -> dict[str, Any]:
    """Return a panel; the level of a box is 0 to 3, or -1 for fillers and for targets among anchors."""
    height, width = one.pixels_HWC.shape[:2]
    levels = [LEVEL_COLORS.index(color) if color in LEVEL_COLORS else -1 for color in one.colors]
    boxes = [
        {"box": rounded(box), "level": level, "name": name}
        for box, level, name in zip(np.asarray(one.boxes_K4, np.float64), levels, one.names, strict=True)
    ]
    picture = one.pixels_HWC
    if max(height, width) < _SIDE:
        factor = -(-_SIDE // max(height, width))
        enlarged = Image.fromarray(picture).resize((width * factor, height * factor), Image.Resampling.BICUBIC)
        picture = np.asarray(enlarged)
    return {
        "title": one.title, "size": [width, height], "boxes": boxes, "positives": one.positives,
        "image": data_address(jpeg(picture, 640), "jpeg"),
    }  # fmt: skip
