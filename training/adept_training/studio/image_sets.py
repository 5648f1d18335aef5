"""Sets of images that the page looks through: those given, those of a run, and labeled splits."""

from __future__ import annotations

import functools
import posixpath
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adept_hub.images.files import read_file
from adept_hub.words.text import one_line
from adept_training.images import ImageSource, decode
from adept_training.labels.records import Floats, LabeledImage, Split
from adept_training.predicting.source import open_one_or_many
from adept_training.studio.sources import Opened

#: Images on one page of thumbnails.
PER_PAGE = 24
BUNDLED = Path(__file__).parent.parent / "photographs"


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images in order; ``split`` has their labels, if any, in the same order."""

    name: str
    keys: tuple[str, ...]
    source: ImageSource | None = None
    split: Split | None = None

    def __len__(self) -> int:
        return len(self.keys)

    @functools.cached_property
    def names(self) -> tuple[str, ...]:
        """Names on the page: absolute paths of a list are shortened to those below their common folder."""
        if not all(posixpath.isabs(key) for key in self.keys) or not self.keys:
            return self.keys
        common = posixpath.commonpath([posixpath.dirname(key) for key in self.keys])
        return tuple(posixpath.relpath(key, common) for key in self.keys)

    def read(self, i: int) -> bytes:
        """Return the encoded bytes of an image. Raises ImageDecodeError."""
        if self.split is not None:
            image = self.split.images[i]
            return read_file(image.path, image.file_name)
        assert self.source is not None
        return self.source.read(self.keys[i])

    def pixels(self, i: int) -> Any:
        """Return an image as RGB uint8 (H, W, 3). Raises ImageDecodeError."""
        return decode(self.read(i), self.keys[i])

    def labeled(self, i: int) -> LabeledImage | None:
        """Return the labels of an image, if the set has labels."""
        return None if self.split is None else self.split.images[i]

    def first(self, count: int) -> ImageSet:
        """Return the set with only its first images."""
        keys = self.keys[:count]
        split = None if self.split is None else self.split.subset([one.key for one in self.split.images[:count]])
        return ImageSet(self.name, keys, self.source, split)


def open_sets(sources: Sequence[Opened], images: str | None, split: Split | None) -> tuple[ImageSet, ...]:
    """Open the labeled split, the given images, and the images of the runs; the bundled ones if there are no others.

    Raises:
        ImagesError: the given images do not exist, or there are none.
    """
    sets = []
    if split is not None:
        sets.append(ImageSet(f"{split.name}, labeled", tuple(one.file_name for one in split.images), None, split))
    wheres = [images] if images is not None else list(dict.fromkeys(one.images for one in sources if one.images))
    sets += [_set(where) for where in wheres]
    if not sets and any(one.kind != "comparison" for one in sources):
        sets.append(_set(str(BUNDLED), "bundled images"))
    return tuple(sets)


def _set(where: str, name: str | None = None) -> ImageSet:
    source = open_one_or_many(where)
    return ImageSet(name or one_line(Path(where).name or where, 40), tuple(source.keys()), source)


def page_of(one: ImageSet, page: int) -> dict[str, Any]:
    """Return a page of names and, in a labeled set, numbers of objects."""
    start = page * PER_PAGE
    rows = [
        {"i": i, "name": shown(one.names[i]), "objects": None if (image := one.labeled(i)) is None else len(image)}
        for i in range(start, min(start + PER_PAGE, len(one)))
    ]
    return {"page": page, "images": rows}


def search(one: ImageSet, text: str, most: int = PER_PAGE) -> dict[str, Any]:
    """Return the first images whose names contain ``text``, upper and lower case alike, and how many there are."""
    low = text.casefold()
    hits = [i for i, key in enumerate(one.names) if low in key.casefold()]
    rows = [{"i": i, "name": shown(one.names[i]), "objects": None} for i in hits[:most]]
    return {"count": len(hits), "images": rows}


def truth_of(image: LabeledImage | None, classes: Sequence[str]) -> list[dict[str, Any]] | None:
    """Return the objects of an image for the page, None without labels."""
    if image is None:
        return None
    return [
        {
            "box": rounded(box), "class": int(label) - 1, "name": shown(classes[int(label) - 1]),
            "crowd": bool(crowd), "difficult": bool(difficult),
        }
        for box, label, crowd, difficult in zip(
            image.boxes_M4, image.labels_M, image.crowd_M, image.difficult_M, strict=True
        )
    ]  # fmt: skip


def rounded(box_4: Floats) -> list[float]:
    """Return a box with a tenth of a pixel."""
    return [round(float(value), 1) for value in box_4]


def shown(text: str) -> str:
    """Return text of unknown origin for the page, on one line."""
    return one_line(text, 200)
