"""Whether the images of a data set are there, readable, of the promised size and not in two splits."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image

from adept_hub.errors import ImageDecodeError
from adept_training.downstream.problems import Problem
from adept_training.downstream.records import Data, LabelledImage, Split
from adept_training.downstream.sources import read_data
from adept_training.images import FORMATS, content_hash, decode

_THREADS = 8
#: EXIF orientations that exchange the sides.
_TURNED = (5, 6, 7, 8)
_ORIENTATION = 0x0112


def check_data(specs: str | Path | Sequence[str], *, decode_all: bool = True) -> tuple[Data, list[Problem]]:
    """The sound part of a data set, and everything that is wrong with the rest; nothing that is in a file raises.

    Args:
        specs: as for `adept_training.downstream.datasets.open_data`.
        decode_all: unpack every image and compare contents; otherwise only the headers are read.

    Raises:
        DataError: ``specs`` name no data set.
    """
    data, problems = read_data(specs)
    return check_images(data, problems, decode_all=decode_all), problems


def check_images(data: Data, problems: list[Problem], *, decode_all: bool) -> Data:
    """Append what is wrong with the images to ``problems``; returns the data without the images that cannot be used."""
    found: dict[object, tuple[str, str]] = {}
    checked: dict[str, Split] = {}
    for role, split in zip(("train", "val", "test"), data.splits(), strict=False):
        sound = []
        for image, seen in zip(split.images, _look_all(split, decode_all), strict=True):
            if seen.kind:
                problems.append(Problem(seen.kind, split.name, f"image {image.id}", seen.detail))
                continue
            sound.append(image)
            for mark in seen.marks:
                if mark not in found:
                    found[mark] = (split.name, image.id)
                    continue
                other_split, other = found[mark]
                kind = "duplicate-image-content" if other_split == split.name else "image-in-two-splits"
                problems.append(Problem(kind, split.name, f"image {image.id}", f"the same as {other_split}'s {other}"))
                break
        checked[role] = replace(split, images=tuple(sound))
    return Data(data.spec, checked["train"], checked.get("val"), checked.get("test"))


@dataclass(frozen=True)
class _Seen:
    """What an image file showed: the kind of damage, or the marks by which it is recognised elsewhere."""

    kind: str = ""
    detail: str = ""
    marks: tuple[object, ...] = ()


def _look_all(split: Split, decode_all: bool) -> Iterator[_Seen]:
    with ThreadPoolExecutor(_THREADS) as pool:
        yield from pool.map(lambda image: _look(image, decode_all), split.images)


def _look(image: LabelledImage, decode_all: bool) -> _Seen:
    if not image.path.is_file():
        return _Seen("missing-image", str(image.path))
    try:
        if decode_all:
            content = image.path.read_bytes()
            height, width = decode(content, image.path.name).shape[:2]
            marks: tuple[object, ...] = (content_hash(content),)
        else:
            width, height = _header(image.path)
            marks = (image.path.resolve(),)
    except ImageDecodeError as error:
        return _Seen("unreadable-image", str(error).splitlines()[0][:160])
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        return _Seen("unreadable-image", f"{image.path.name}: {error}"[:160])
    if (width, height) != (image.width, image.height):
        turned = ", exchanged by its EXIF orientation" if (height, width) == (image.width, image.height) else ""
        said = f"{image.width} x {image.height}"
        return _Seen("size-mismatch", f"the file has {width} x {height}, the annotations say {said}{turned}")
    return _Seen(marks=marks)


def _header(path: Path) -> tuple[int, int]:
    """Width and height after EXIF orientation, as `adept_training.images.decode` will give them."""
    with Image.open(path, formats=_formats()) as image:
        width, height = image.size
        turned = image.getexif().get(_ORIENTATION) in _TURNED
    return (height, width) if turned else (width, height)


@functools.cache
def _formats() -> list[str]:
    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]  # a build of PIL may lack some
