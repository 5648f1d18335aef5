"""Label budgets: deterministic subsets of a split, nested in each other, stored by image id.

The order in which images are added is a function of (seed, image id) only: a digest, not a generator's state. A subset
thus does not depend on the order of the file, the 1% subset of a seed is part of its 10% subset, and the ids alone
define the subset.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from adept_hub.errors import DataError
from adept_hub.io.read import MAX_ANNOTATIONS, BoundedReader
from adept_training.labels.identity import ImageKey, read_id, spelled
from adept_training.labels.part_files import pair_files, write_files
from adept_training.labels.records import LabeledImage, Split

_BUDGET = re.compile(r"(?P<number>\d+(?:\.\d+)?)(?P<unit>%|img|shot)")


@dataclass(frozen=True)
class Budget:
    """A number of labels: ``10%`` or ``3img`` of the images, or ``5shot`` objects per class."""

    number: float
    unit: str

    def __str__(self) -> str:
        return f"{self.number:g}{self.unit}"

    def in_words(self) -> str:
        """Return the budget in words: ``10%``, ``1 image``, ``5 shots``."""
        if self.unit == "%":
            return str(self)
        return f"{self.number:g} {'image' if self.unit == 'img' else 'shot'}{'' if self.number == 1 else 's'}"


def parse_budget(text: str) -> Budget:
    """Parse ``1%``, ``10%``, ``3img``, ``5shot``; a bare fraction such as ``0.1`` is 10%.

    Raises:
        DataError: the text is invalid or out of range.
    """
    word = text.strip().lower()
    if re.fullmatch(r"0?\.\d+|1\.0*", word):
        return Budget(float(word) * 100, "%")
    match = _BUDGET.fullmatch(word)
    number = float(match["number"]) if match else 0.0
    unit = match["unit"] if match else ""
    if not match or number <= 0 or (unit == "%" and number > 100) or (unit != "%" and not number.is_integer()):
        raise DataError(
            f"{text!r} is not a label budget.\nWrite 1%, 10%, 100%, 3img (images) or 5shot (objects a class)."
        )
    return Budget(number, unit)


def draw(split: Split, budget: Budget, seed: int) -> Split:
    """Draw the subset of ``split`` for a budget.

    Percentages are rounded to the nearest image, at least one; images without objects do not count as labels and are
    left out. ``shot`` keeps exactly K objects per class (fewer if there are fewer), and of each selected image only the
    selected objects, as TFA does.
    """
    labeled = [image for image in split.images if not image.crowd_M.all()]  # as in training
    if budget.unit == "shot":
        images = _shots(labeled, len(split.classes), int(budget.number), seed)
    else:
        whole = budget.number * len(labeled) / 100 if budget.unit == "%" else budget.number
        images = _in_turn(labeled, seed)[: max(int(whole + 0.5), 1)]
    order = {image.key: at for at, image in enumerate(split.images)}
    return replace(split, name=f"{split.name}/{budget}", images=tuple(sorted(images, key=lambda i: order[i.key])))


def _shots(labeled: list[LabeledImage], classes: int, shots: int, seed: int) -> list[LabeledImage]:
    keep = {image.key: np.zeros(len(image), np.bool_) for image in labeled}
    for label in range(1, classes + 1):
        left = shots
        for image in _in_turn(labeled, seed, f"{label}/"):
            word = f"{label}/{spelled(image.key.id)}"
            usable = np.flatnonzero((image.labels_M == label) & ~image.crowd_M & ~image.difficult_M)
            selected = sorted(usable, key=lambda m: _rank(seed, f"{word}/{m}"))[:left]  # used at once
            keep[image.key][selected] = True
            left -= len(selected)
            if not left:
                break
    return [image.only(keep[image.key]) for image in labeled if keep[image.key].any()]


def save_subset(path: Path, split: Split, budget: Budget, seed: int) -> list[Path]:
    """Write the subset's image ids as JSON, and for a ``shot`` budget its objects, each as (x1, y1, x2, y2, label).

    Return the paths: one, or one per part if parts share ids.
    """
    contents: list[dict[str, Any]] = []
    for one in split.per_file():
        ids = [image.key.id for image in one.images]
        contents.append({"budget": str(budget), "seed": seed, "split": split.name, "image_ids": ids})
        if budget.unit == "shot":
            contents[-1]["objects"] = [_objects(image) for image in one.images]
    return write_files(path, [json.dumps(content, indent=1) + "\n" for content in contents])


def load_subset(path: Path, split: Split) -> Split:
    """Load a subset of ``split`` that `save_subset` wrote.

    Raises:
        DataError: the file is invalid, or the split lacks an image or object.
    """
    images: dict[ImageKey, LabeledImage] = {}
    for file, one in pair_files([path], split):
        images |= {image.key: image for image in _load_one(file, one)}
    return replace(split, images=tuple(images[image.key] for image in split.images if image.key in images))


def _load_one(path: Path, split: Split) -> Iterator[LabeledImage]:
    content = BoundedReader(DataError, limit=MAX_ANNOTATIONS).json(path)
    try:
        ids = [read_id(value) for value in content["image_ids"]]
        objects = [[_row(row) for row in rows] for rows in content.get("objects", [])]
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise DataError(f"{path} is not a subset file: {error}.\nIt must be JSON with a list 'image_ids'.") from error
    image_of = {image.key.id: image for image in split.images}
    if strangers := [written for written, i in zip(content["image_ids"], ids, strict=True) if i not in image_of]:
        likes = ", ".join(repr(i) for i in list(image_of)[:3])
        raise DataError(
            f"{path} contains {len(strangers)} images that {split.name} does not have, first {strangers[0]!r}.\n"
            f"Its ids look like {likes} (a number is not a string). Give the data set that it was drawn from."
        )
    if objects and len(objects) != len(ids):
        raise DataError(f"{path} is not a subset file: it has {len(ids)} images and the objects of {len(objects)}.")
    for at, image_id in enumerate(ids):
        image = image_of[image_id]  # type: ignore[index]  # None is not a key
        yield image if not objects else image.only(_places(image, objects[at], path))


def _row(row: Any) -> tuple[float, ...]:
    if not isinstance(row, list) or len(row) != 5 or not all(type(number) in (int, float) for number in row):
        raise ValueError("an object is not five numbers: x1, y1, x2, y2, label")
    return tuple(row)


def _objects(image: LabeledImage) -> list[list[float]]:
    return [[*box, label] for box, label in zip(image.boxes_M4.tolist(), image.labels_M.tolist(), strict=True)]


def _places(image: LabeledImage, wanted: list[tuple[float, ...]], path: Path) -> npt.NDArray[np.bool_]:
    """Return a mask of the listed objects; of identical ones as many as are listed."""
    left = Counter(wanted)
    keep_M = np.zeros(len(image), np.bool_)
    for m, row in enumerate(_objects(image)):
        keep_M[m] = left[tuple(row)] > 0
        left[tuple(row)] -= int(keep_M[m])
    if +left:
        raise DataError(
            f"{path} contains an object of image {spelled(image.key.id)} that does not exist: {next(iter(+left))}.\n"
            "The labels were changed since it was drawn; draw the subset again with adept data subset."
        )
    return keep_M


def _in_turn(images: list[LabeledImage], seed: int, word: str = "") -> list[LabeledImage]:
    """Sort images in the order in which they are added; by part if parts share an id."""
    return sorted(images, key=lambda image: (_rank(seed, f"{word}{spelled(image.key.id)}"), image.key.part))


def _rank(seed: int, word: str) -> bytes:
    return hashlib.sha256(f"{seed}/{word}".encode()).digest()
