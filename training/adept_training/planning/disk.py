"""Disk space of a run: a pure function of counts, and the counts of a recipe's network."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from adept_hub.spec import Preprocessing
from adept_training.data.cache import cache_bytes, side_of
from adept_training.pretraining.export import exported_tensors
from adept_training.pretraining.recipe import Recipe
from adept_training.pretraining.setup import make_model

#: Bytes of a row of the index, without its key (`adept_training.proposals.table.index`), and of one of the shards.
_INDEX_ROW, _SHARD_ROW = 69, 48
_BOX = 16
#: Log, report, pictures and recipe of a run.
_REST = 5_000_000


@dataclass(frozen=True)
class Disk:
    """Bytes that a run needs at most, all of them in its folder.

    Attributes:
        proposals: table and index.
        cache: decoded images; removed when the run has finished.
        states: checkpoints, the one being written included.
        export: weights.
        free: bytes free where the run will be.
    """

    proposals: int
    cache: int
    states: int
    export: int
    free: int

    @property
    def needed(self) -> int:
        """Sum of all, with the log and the report."""
        return self.proposals + self.cache + self.states + self.export + _REST


@dataclass(frozen=True)
class Sizes:
    """Bytes of a recipe's tensors.

    Attributes:
        state: of all that a checkpoint contains, the optimizer included.
        export: of the exported weights.
    """

    state: int
    export: int


def disk_of(recipe: Recipe, sizes: Sizes, images: int, boxes: float, key: float, free: int) -> Disk:
    """Return what a run writes.

    Args:
        recipe: whose cache, precision of the export and number of checkpoints count.
        sizes: of its tensors.
        images: of the whole set.
        boxes: per image, mean.
        key: bytes of an image's path, mean.
        free: bytes.
    """
    rows = _INDEX_ROW + _SHARD_ROW + 2 * key + 2 * _BOX * boxes
    cache = cache_bytes(images, side_of(recipe.views.sizes)) if recipe.data.cache else 0
    states = (recipe.engine.keep + 1) * sizes.state
    return Disk(round(images * rows), cache, states, sizes.export, free)


def sizes_of(recipe: Recipe, images: int) -> Sizes:
    """Count the bytes of a recipe's network for a number of training images, without allocating it."""
    with torch.device("meta"):
        model = make_model(recipe, images, Preprocessing())
    trained = _bytes(param for param in model.parameters() if param.requires_grad)
    moments = 2 if recipe.optimizer.name == "adamw" else 1
    exported = _bytes(exported_tensors(model, recipe.export.network)[0].values())
    return Sizes(_bytes(model.state_dict().values()) + moments * trained, exported // (2 if recipe.export.half else 1))


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
