"""Write one file, or one per part of a split, under one name that reads all of them back.

``found.json`` becomes ``found.part1.json``, ``found.part2.json``, ... in the order of the split's parts. All are
written to temporary names first, and those of an earlier run are removed; part 1, by which the others are found, is
renamed last: a process that is killed on the way leaves parts that are rejected, never those of two runs.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from adept_hub.errors import DataError
from adept_hub.io.paths import not_a
from adept_hub.io.write import atomic_file
from adept_training.labels.records import Split


def write_files(path: Path, texts: Sequence[str]) -> list[Path]:
    """Write one file, or several instead; return their paths.

    Raises:
        DiskFullError: the files cannot be written.
    """
    paths = [path] if len(texts) == 1 else [_numbered(path, at) for at in range(1, len(texts) + 1)]
    with contextlib.ExitStack() as stack:  # unwinds in reverse order
        for one, text in zip(paths, texts, strict=True):
            stack.enter_context(atomic_file(one)).write_text(text, encoding="utf-8")
        if len(paths) > 1:
            for earlier in (path, *paths):  # a file with the plain name would be read instead of them
                earlier.unlink(missing_ok=True)
    return paths


def pair_files(given: Sequence[Path], split: Split) -> list[tuple[Path, Split]]:
    """Pair each file with its images: by the name that was written to, or all files in the order of the parts.

    Raises:
        DataError: a file is missing, or the number of files is wrong.
    """
    splits = split.per_file()
    paths = list(given)
    if len(paths) == 1 and not paths[0].is_file():
        written = [_numbered(paths[0], at) for at in range(1, len(split.parts) + 1)]
        paths = [path for path in written if path.is_file()] or paths
    for path in paths:
        if not path.is_file():
            raise DataError(not_a("a file", path))
    if len(paths) == len(splits):
        return list(zip(paths, splits, strict=True))
    if len(splits) == 1:
        raise DataError(f"{len(paths)} files are given, but {split.name} needs only one: {', '.join(map(str, paths))}.")
    raise DataError(
        f"{split.name} joins {len(splits)} parts that share ids: give a file per part, in this order: "
        f"{', '.join(part.source for part in split.parts)}.\nGiven: {', '.join(map(str, paths))}."
    )


def is_written(path: Path) -> bool:
    """Check for a file of this name, or for the files that `write_files` wrote instead."""
    return path.is_file() or _numbered(path, 1).is_file()


def _numbered(path: Path, at: int) -> Path:
    return path.with_name(f"{path.stem}.part{at}{path.suffix}")
