"""Check that a table belongs to the given images: keys, contents and sizes, compared with the recorded ones."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from adept_hub.errors import ImageDecodeError, ProposalsError
from adept_hub.words.command_line import command_line
from adept_hub.words.text import one_line
from adept_training.images import ImageSource, content_hash, read_size
from adept_training.proposals.table.store import ProposalTable

#: Images that are compared in any case, and seconds after which no more are.
_LEAST, _SECONDS = 1000, 20.0
_THREADS = 8


@dataclass(frozen=True)
class ImageDifference:
    """Differences of images from the recorded ones."""

    looked: int
    differing: int
    other_sides: int
    first: str = ""

    def __str__(self) -> str:
        sides = f", {self.other_sides} of them other sides" if self.other_sides else ""
        return f"{self.differing} of {self.looked} images have other contents{sides}; the first: {one_line(self.first)}"


def matching_keys(table: ProposalTable, source: ImageSource, images: str | None = None) -> list[str]:
    """Return keys of the images that have boxes, without those that the table lists as unreadable.

    Args:
        table: table of boxes.
        source: the images.
        images: their name on the command line, for messages.

    Raises:
        ProposalsError: the table lacks images, or their contents differ from the recorded digests. All of them are
                compared, or as many as fit into 20 seconds, at random and at least 1,000.
    """
    keys = source.keys()
    remake = command_line("proposals", images or "IMAGES", "--out", f"{table.folder}-2")
    missing = [key for key in keys if key not in table]
    unknown = sorted(set(missing) - table.unreadable()) if missing else []
    if unknown:
        raise ProposalsError(
            f"{len(unknown)} of {len(keys)} images have no proposals in {table.folder}, the first: "
            f"{one_line(unknown[0])}.\nMake them for all of these images, then give the new table with --proposals:\n"
            f"  {remake}"
        )
    with_boxes = [key for key in keys if key in table] if missing else keys
    difference = compare(source, with_boxes, table.sha256, table.size)
    if difference.differing:
        raise ProposalsError(
            f"The proposals in {table.folder} were made from other images: {difference}.\n"
            f"Give those images, or make the proposals again, then give the new table with --proposals:\n  {remake}"
        )
    return with_boxes


def compare(
    source: ImageSource, keys: Sequence[str], sha256: Callable[[str], bytes], size: Callable[[str], tuple[int, int]],
    *, seconds: float = _SECONDS, least: int = _LEAST,
) -> ImageDifference:  # fmt: skip
    """Compare the contents of images with recorded digests and sizes; unreadable ones are skipped.

    Args:
        source: the images.
        keys: keys to compare, in any order; they are compared in random order.
        sha256: the recorded digest of a key.
        size: the recorded (width, height) of a key, pixels.
        seconds: time after which no more are compared, once ``least`` are.
        least: number of images that are compared in any case.
    """

    def look(key: str) -> tuple[str, bool, bool] | None:
        try:
            content = source.read(key)
            if content_hash(content) == sha256(key):
                return key, False, False
            return key, True, read_size(content, key) != size(key)
        except ImageDecodeError:
            return None

    order = [keys[i] for i in np.random.default_rng(0).permutation(len(keys))]
    start, seen = time.monotonic(), 0
    differing: list[str] = []
    other_sides = 0
    with ThreadPoolExecutor(_THREADS) as pool:
        for first in range(0, len(order), least):
            if first and time.monotonic() - start > seconds:
                break
            for result in filter(None, pool.map(look, order[first : first + least])):
                seen += 1
                differing += [result[0]] if result[1] else []
                other_sides += result[2]
    return ImageDifference(seen, len(differing), other_sides, min(differing, default=""))
