"""A look at a few images: how fast they are decoded and searched for boxes, and how large they are."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from adept_hub.errors import ImageDecodeError, ImagesError
from adept_training.data.cache import PixelCache
from adept_training.images import ImageSource, decode
from adept_training.proposals.search.boxes import Boxes, to_proposals
from adept_training.proposals.search.presets import get_preset
from adept_training.proposals.selective import selective_search
from adept_training.runtime.progress import counting

#: Images decoded and searched at most, and seconds after which no other one begins.
_DECODED, _SEARCHED, _SECONDS = 64, 8, 4.0
#: Pixels of the longer side that are kept of an image.
_KEPT = 320

Clock = Callable[[], float]


@dataclass(frozen=True)
class Sample:
    """A few images of a set.

    Attributes:
        source: those that could be decoded.
        sizes: their width and height.
        decode_seconds: mean per image, reading included.
    """

    source: ImageSource = field(repr=False)
    sizes: tuple[tuple[int, int], ...]
    decode_seconds: float
    kept: tuple[Image.Image, ...] = field(repr=False)

    @property
    def side(self) -> float:
        """Median of the shorter sides, in pixels."""
        return float(np.median([min(size) for size in self.sizes]))


@dataclass(frozen=True)
class Search:
    """Boxes of a few images by one preset; ``seconds`` and ``boxes`` are means per image."""

    preset: str
    seconds: float
    boxes: float
    fallbacks: float  # share of images
    found: tuple[tuple[Boxes, tuple[int, int]], ...] = field(repr=False)


def take_sample(source: ImageSource, clock: Clock = time.perf_counter) -> Sample:
    """Decode images at random, the same at every call.

    Raises:
        ImagesError: none of those tried can be decoded.
    """
    keys = source.keys()
    kept, sizes, names, reason = [], [], [], ""
    began = clock()
    places = np.random.default_rng(0).permutation(len(keys))[:_DECODED].tolist()
    for place in counting(places, len(places), "decoding", " images at most"):
        key = keys[place]
        try:
            image = decode(source.read(key), key)
        except ImageDecodeError as error:
            reason = str(error)
            continue
        small = Image.fromarray(image)
        small.thumbnail((_KEPT, _KEPT))
        kept.append(small)
        sizes.append((image.shape[1], image.shape[0]))
        names.append(key)
        if len(names) > 1 and clock() - began > _SECONDS:
            break
    if not names:
        raise ImagesError(f"None of {min(len(keys), _DECODED)} images can be read. The last: {reason}")
    return Sample(source.subset(names), tuple(sizes), (clock() - began) / len(names), tuple(kept))


def search_sample(sample: Sample, preset: str, clock: Clock = time.perf_counter) -> Search:
    """Search a few images of a sample; the first one is not timed, since Numba compiles the search with it."""
    chosen, found, fallbacks = get_preset(preset), [], 0
    spent: list[float] = []
    images = list(zip(sample.source.keys(), sample.sizes, strict=True))
    most, what = min(len(images), _SEARCHED + 1), f"boxes of preset {preset}"
    for place, (key, size) in enumerate(counting(images, most, what, " images at most")):
        start = clock()
        boxes, fallback = to_proposals(selective_search(decode(sample.source.read(key), key), chosen), size, chosen)
        if place:
            spent.append(clock() - start)
        found.append((boxes, size))
        fallbacks += fallback
        if len(spent) >= 2 and (len(spent) >= _SEARCHED or sum(spent) > _SECONDS):
            break
    seconds = float(np.mean(spent)) if spent else clock() - start
    return Search(preset, seconds, float(np.mean([len(b) for b, _ in found])), fallbacks / len(found), tuple(found))


@dataclass(frozen=True)
class SampleBoxes:
    """Boxes for every key: those found in one of the searched images, as shares of the image's sides."""

    shares: dict[str, npt.NDArray[np.float32]]

    def boxes(self, key: str) -> npt.NDArray[np.float32]:
        """Return float32 (N, 4) xyxy in pixels of the image."""
        return self.shares[key]


def boxes_of(sample: Sample, search: Search) -> SampleBoxes:
    """Give every image of the sample the boxes of a searched one, stretched to its size."""
    table = {}
    for place, (key, (width, height)) in enumerate(zip(sample.source.keys(), sample.sizes, strict=True)):
        boxes, (from_width, from_height) = search.found[place % len(search.found)]
        factor = [width / from_width, height / from_height] * 2
        table[key] = (boxes * np.array(factor)).astype(np.float32)
    return SampleBoxes(table)


@dataclass(frozen=True)
class SampleCache(PixelCache):
    """The cache of a sample, in memory."""

    squares: tuple[npt.NDArray[np.uint8], ...] = field(default=(), repr=False)
    sizes: tuple[tuple[int, int], ...] = ()

    def square(self, row: int) -> npt.NDArray[np.uint8]:
        """Return RGB uint8 (S, S, 3), a copy."""
        return np.array(self.squares[row])

    def size(self, row: int) -> tuple[int, int]:
        """Return width and height of the image itself."""
        return self.sizes[row]


def cache_of(sample: Sample, side: int, count: int) -> SampleCache:
    """Return squares of the sample, repeated up to ``count``."""
    squares = [np.array(image.resize((side, side), Image.Resampling.BILINEAR)) for image in sample.kept]
    rows = [place % len(squares) for place in range(count)]
    return SampleCache(
        Path(), count, side, "", tuple(squares[row] for row in rows), tuple(sample.sizes[row] for row in rows)
    )
