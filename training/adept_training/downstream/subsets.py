"""Label budgets: deterministic subsets of a split, nested in each other, stored by image id.

The order in which images enter is a function of (seed, image id) alone: a digest, no generator's state. So a subset
does not depend on the order of the file, the 1% subset of a seed is part of its 10% subset, and whoever has the ids
has the subset.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from adept_hub.atomic import atomic_file
from adept_hub.errors import DataError
from adept_training.downstream.records import LabelledImage, Split

_BUDGET = re.compile(r"(?P<number>\d+(?:\.\d+)?)(?P<unit>%|img|shot)")


@dataclass(frozen=True)
class Budget:
    """How many labels: ``10%`` or ``3img`` of the images, or ``5shot`` objects of each class."""

    number: float
    unit: str

    def __str__(self) -> str:
        return f"{self.number:g}{self.unit}"

    def in_words(self) -> str:
        """``10%``, ``1 image``, ``5 shots``."""
        if self.unit == "%":
            return str(self)
        return f"{self.number:g} {'image' if self.unit == 'img' else 'shot'}{'' if self.number == 1 else 's'}"


def parse_budget(text: str) -> Budget:
    """``1%``, ``10%``, ``3img``, ``5shot``; a bare fraction such as ``0.1`` is 10%.

    Raises:
        DataError: none of these, or out of range.
    """
    word = text.strip().lower()
    if re.fullmatch(r"0?\.\d+|1\.0*", word):
        return Budget(float(word) * 100, "%")
    match = _BUDGET.fullmatch(word)
    number = float(match["number"]) if match else 0.0
    unit = match["unit"] if match else ""
    if not match or number <= 0 or (unit == "%" and number > 100) or (unit != "%" and not number.is_integer()):
        raise DataError(f"{text!r} is no label budget.\nWrite 1%, 10%, 100%, 3img (images) or 5shot (objects a class).")
    return Budget(number, unit)


def draw(split: Split, budget: Budget, seed: int) -> Split:
    """The subset of ``split`` that a budget buys.

    Percentages are rounded to the nearest image, at least one; images without objects do not count as labels and are
    left out. ``shot`` keeps exactly K objects of each class (fewer where there are fewer), and of each chosen image
    only the chosen objects, as TFA does.
    """
    labelled = sorted((image for image in split.images if len(image)), key=lambda i: _rank(seed, i.id))
    if budget.unit == "shot":
        images = _shots(labelled, len(split.classes), int(budget.number), seed)
    else:
        whole = budget.number * len(labelled) / 100 if budget.unit == "%" else budget.number
        images = labelled[: max(int(whole + 0.5), 1)]
    order = {image.id: at for at, image in enumerate(split.images)}
    return replace(split, name=f"{split.name}/{budget}", images=tuple(sorted(images, key=lambda i: order[i.id])))


def _shots(labelled: list[LabelledImage], classes: int, shots: int, seed: int) -> list[LabelledImage]:
    keep = {image.id: np.zeros(len(image), np.bool_) for image in labelled}
    for label in range(1, classes + 1):
        order = sorted(labelled, key=lambda i: _rank(seed, f"{label}/{i.id}"))
        left = shots
        for image in order:
            usable = np.flatnonzero((image.labels_M == label) & ~image.crowd_M & ~image.difficult_M)
            chosen = sorted(usable, key=lambda m: _rank(seed, f"{label}/{image.id}/{m}"))[:left]
            keep[image.id][chosen] = True
            left -= len(chosen)
            if not left:
                break
    return [image.only(keep[image.id]) for image in labelled if keep[image.id].any()]


def save_subset(path: Path, split: Split, budget: Budget, seed: int) -> None:
    """Write the subset's image ids, and the objects' places in each image where not all are kept, as JSON."""
    ids = [image.id for image in split.images]
    content: dict[str, Any] = {"budget": str(budget), "seed": seed, "split": split.name, "image_ids": ids}
    if budget.unit == "shot":
        content["boxes"] = {image.id: image.boxes_M4.tolist() for image in split.images}
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def load_subset(path: Path, split: Split) -> Split:
    """The subset whose ids (and boxes) a file names.

    Raises:
        DataError: not such a file, or an id that the split does not have.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        ids, boxes = [str(i) for i in content["image_ids"]], content.get("boxes")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path} is no subset file: {error}.\nIt is JSON with a list 'image_ids'.") from error
    known = {image.id for image in split.images}
    if unknown := [i for i in ids if i not in known]:
        raise DataError(f"{path} names {len(unknown)} images that {split.name} does not have, first {unknown[0]!r}.")
    chosen = split.subset(ids)
    if boxes is None:
        return chosen
    images = []
    for image in chosen.images:
        wanted = {tuple(box) for box in boxes[image.id]}
        images.append(image.only(np.array([tuple(box) in wanted for box in image.boxes_M4.tolist()], np.bool_)))
    return replace(chosen, images=tuple(images))


def _rank(seed: int, word: str) -> bytes:
    return hashlib.sha256(f"{seed}/{word}".encode()).digest()
