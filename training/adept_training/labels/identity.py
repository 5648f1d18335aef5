"""Image identity: the one key by which every stage looks images up.

An id is unique only within its file or folder: every COCO file may count from 1, every VOC folder may contain an
``img_1``. A key is therefore (part, id), and the id stays as its data set writes it, number or string: ``000001`` is
not 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from adept_hub.words.text import is_utf8

#: COCO's image ids are numbers or strings, VOC's are file stems.
ImageId = int | str


class ImageKey(NamedTuple):
    """An image of a data set: the number of its part (see `Part`) and its id there."""

    part: int
    id: ImageId


@dataclass(frozen=True)
class Part:
    """A file or folder of labels, one of those that a data set joins; ids are unique within it.

    Attributes:
        number: index among the parts of the data set, from 1; the same source is one part in every split.
        source: the source as in ``--data``.
        folder: the image folder; file names are relative to it.
        category_ids: its category ids, in the order of the split's classes.
    """

    number: int
    source: str
    folder: Path
    category_ids: tuple[int, ...] = ()


def read_id(value: Any) -> ImageId | None:
    """Read an id from JSON; return None for an invalid id.

    JSON has one kind of number, so 7.0 (as pandas writes a column with gaps) is 7. A string that is not valid Unicode
    cannot be written back and is invalid.
    """
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str):
        return value if value and is_utf8(value) else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def spelled(image_id: ImageId) -> str:
    """Return the spelling of an id, the same for 1 and "1": for digests, messages, and to find ids of other types."""
    return f"{image_id}"


def in_order(image_id: ImageId) -> tuple[bool, int, str]:
    """Return a sort key in pycocotools' order: numbers by value, then strings by their characters."""
    return (True, 0, image_id) if isinstance(image_id, str) else (False, image_id, "")
