"""Choose the folder of a planned run: a new one outside of the images."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from adept_hub.errors import OptionValueError
from adept_hub.io.paths import resolved

_RUNS = "runs"


def run_folder(images: str, out: str | Path | None) -> Path:
    """Return the folder of the run: ``out``, or a new one in ``runs`` named after the images.

    Raises:
        OptionValueError: ``out`` is inside of the folder of images, where its pictures would be images too.
    """
    if out is not None:
        if _is_inside(Path(out), images):
            raise OptionValueError(f"{out} is inside of the images {images}.\nChoose another --out, next to them.")
        return Path(out)
    stem = re.sub(r"[^A-Za-z0-9_.-]+", "-", Path(images).name.partition(".")[0].partition(":")[0]).strip("-.") or "mine"
    base = Path(_RUNS)
    if _is_inside(base, images):
        base = resolved(Path(images)).parent / _RUNS
    folder, number = base / stem, 2
    while folder.exists():
        folder, number = base / f"{stem}-{number}", number + 1
    return folder


def free_bytes(folder: Path) -> int:
    """Return the free bytes of the disk on which a folder is, or will be."""
    place = resolved(folder)
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free


def _is_inside(folder: Path, images: str) -> bool:
    root = Path(images)
    return root.is_dir() and resolved(folder).is_relative_to(resolved(root))
