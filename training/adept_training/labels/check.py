"""Check that the images of a data set exist, are readable, have the annotated size and are not in two splits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from adept_hub.arguments.calls import checked
from adept_hub.errors import ImageDecodeError
from adept_hub.io.paths import resolved
from adept_training.images import content_hash, decode, read_file, read_file_size
from adept_training.labels.exports import coco_words
from adept_training.labels.pixels import file_fault, other_size
from adept_training.labels.problems import LabelProblem
from adept_training.labels.records import Data, LabeledImage, Split
from adept_training.labels.sources import read_data
from adept_training.runtime.progress import track

_THREADS = 8


@checked
def check_data(specs: str | Path | Sequence[str], *, decode_all: bool = True) -> tuple[Data, list[LabelProblem]]:
    """Return the sound part of a data set, and all problems of the rest; nothing that is in a file raises.

    Args:
        specs: as for `adept_training.labels.datasets.open_data`.
        decode_all: decode every image and compare contents; otherwise only the headers are read.

    Raises:
        DataError: ``specs`` are not a valid data set.
    """
    declared, problems = read_data(specs)
    sound = check_images(declared, problems, decode_all=decode_all)
    _check_splits(sound, declared, problems)
    return sound, problems


def _check_splits(data: Data, declared: Data, problems: list[LabelProblem]) -> None:
    """Report problems of the whole data set after damaged records have been left out of what was declared."""
    trained: set[int] = set()
    for split, whole in zip(data.splits(), declared.splits(), strict=True):
        labels = {int(label) for image in split.images for label in image.labels_M[~image.crowd_M]}
        if not split.images:
            words = coco_words(whole)
            detail = f"the images are elsewhere: {words}" if words else ""
            problems.append(LabelProblem("empty-split", split.name, data.spec, detail))
        elif not labels:
            problems.append(LabelProblem("no-objects", split.name, data.spec))
        if split is data.train:
            trained = labels
    for at, name in enumerate(data.classes, start=1):
        if at not in trained and trained:
            problems.append(LabelProblem("category-without-objects", data.train.name, f"category {name!r}"))


def check_images(data: Data, problems: list[LabelProblem], *, decode_all: bool) -> Data:
    """Append the problems of the images to ``problems``; return the data without unusable images."""
    first_by_mark: dict[object, tuple[str, str]] = {}

    def sound_images(split: Split) -> Split:
        sound = []
        for image, seen in zip(split.images, _look_all(split, decode_all), strict=True):
            if seen.kind:
                problems.append(LabelProblem(seen.kind, split.name, f"image {split.shown(image.key)}", seen.detail))
                continue
            sound.append(image)
            for mark in seen.marks:
                if mark not in first_by_mark:
                    first_by_mark[mark] = (split.name, split.shown(image.key))
                    continue
                other_split, other = first_by_mark[mark]
                kind = "duplicate-image-content" if other_split == split.name else "image-in-two-splits"
                problems.append(
                    LabelProblem(
                        kind, split.name, f"image {split.shown(image.key)}", f"identical to {other_split}'s {other}"
                    )
                )
                break
        return replace(split, images=tuple(sound))

    return data.change_splits(sound_images)


@dataclass(frozen=True)
class _ImageCheck:
    """Result of reading an image file: the kind of damage, or the digests that identify it elsewhere."""

    kind: str = ""
    detail: str = ""
    marks: tuple[object, ...] = ()


def _look_all(split: Split, decode_all: bool) -> Iterator[_ImageCheck]:
    with ThreadPoolExecutor(_THREADS) as pool:
        seen = pool.map(lambda image: _look(image, decode_all), split.images)
        yield from track(seen, len(split), f"checking {split.name}", " images")


def _look(image: LabeledImage, decode_all: bool) -> _ImageCheck:
    name = image.path.name
    try:
        image.path.stat()
        if decode_all:
            content = read_file(image.path, name)
            height, width = decode(content, name).shape[:2]
            marks: tuple[object, ...] = (content_hash(content),)
        else:
            width, height = read_file_size(image.path, name)
            marks = (resolved(image.path),)
    except (ImageDecodeError, OSError) as error:
        return _ImageCheck(*file_fault(error, image.path))
    fault = other_size(image, width, height)
    return _ImageCheck("size-mismatch", fault) if fault else _ImageCheck(marks=marks)
