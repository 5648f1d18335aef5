"""Name the images of a converted data set, and copy or link them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Literal

from adept_hub.io.paths import resolved
from adept_training.images import read_file
from adept_training.labels.records import Data

HowImages = Literal["copy", "link", "none"]


def image_names(data: Data, *, by_stem: bool) -> dict[Path, str]:
    """Return the new relative path of each image file; paths in the data set are kept where they are unique.

    Args:
        data: the data set. If all file names begin with ``images/``, as YOLO's do, it is dropped.
        by_stem: names must differ without their suffixes, too, as in VOC and YOLO.
    """
    files = {image.path: (split.part(image.key).folder, image.file_name)
             for split in data.splits() for image in split.images}  # fmt: skip
    names = {path: _printable(PurePosixPath(name.replace("\\", "/")).as_posix()) for path, (_, name) in files.items()}
    if all(name.startswith("images/") for name in names.values()):
        names = {path: name.removeprefix("images/") for path, name in names.items()}
    folders = list(dict.fromkeys(folder for folder, _ in files.values()))
    if len({_key(name, by_stem) for name in names.values()}) < len(names) and len(folders) > 1:
        names = {path: f"{_label(files[path][0], folders)}/{name}" for path, name in names.items()}
    taken: set[str] = set()
    for path, name in names.items():
        one = PurePosixPath(name)
        several = (f"{one.with_suffix('')}_{one.suffix[1:]}{'-' * bool(i)}{i or ''}{one.suffix}"
                   for i in range(len(names) + 1))  # fmt: skip
        names[path] = next(free for free in (name, *several) if _key(free, by_stem) not in taken)
        taken.add(_key(names[path], by_stem))
    return names


def common_names(data: Data) -> tuple[Path, dict[Path, str]]:
    """Return a folder that contains all images, and their paths below it, to refer to images that stay in place."""
    folders = {split.part(image.key).folder for split in data.splits() for image in split.images}
    paths = [image.path for split in data.splits() for image in split.images]
    folder = next(iter(folders)) if len(folders) == 1 else Path(os.path.commonpath([f.absolute() for f in folders]))
    return folder, {path: Path(os.path.relpath(path, folder)).as_posix() for path in paths}


def place_images(targets: Mapping[Path, Path], how: HowImages) -> None:
    """Copy or link images, by their new paths; a copy has the same bytes.

    Raises:
        ImageDecodeError: an image cannot be read.
    """
    for target, path in targets.items():
        if how == "none":
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        if how == "link":
            target.symlink_to(resolved(path))
        else:
            target.write_bytes(read_file(path, path.name))


def _key(name: str, by_stem: bool) -> str:
    return PurePosixPath(name).with_suffix("").as_posix() if by_stem else name


def _label(folder: Path, folders: list[Path]) -> str:
    names = [one.name or "images" for one in folders]
    at = folders.index(folder)
    return names[at] if names.count(names[at]) == 1 else f"{names[at]}-{at + 1}"


def _printable(name: str) -> str:
    """Return a path that a line of a text file can contain."""
    return "/".join("".join(c if c.isprintable() else "_" for c in part).strip() or "_" for part in name.split("/"))
