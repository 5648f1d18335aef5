"""Convert a labeled data set to COCO, Pascal VOC or YOLO: a whole folder or nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from adept_hub.arguments.calls import checked
from adept_hub.errors import DataError
from adept_hub.io.write import atomic_folder
from adept_training.converting.coco import write_coco
from adept_training.converting.images import HowImages, common_names, image_names, place_images
from adept_training.converting.losses import Losses
from adept_training.converting.voc import write_voc
from adept_training.converting.yolo import write_yolo, yolo_images
from adept_training.labels.datasets import open_data
from adept_training.labels.records import Data

Format = Literal["coco", "voc", "yolo"]
_FOLDERS = {"coco": "images", "voc": "JPEGImages", "yolo": "images"}


@dataclass(frozen=True)
class Converted:
    """A converted data set.

    Attributes:
        data: the data set that it was converted from.
        words: ``--data`` for it.
        lost: what is lost or changed, a line each.
        images_to: folder in which the format expects the images, if they were neither copied nor linked; else None.
    """

    data: Data
    words: tuple[str, ...]
    lost: tuple[str, ...]
    images_to: Path | None = None


@checked
def convert_data(
    specs: str | Path | Sequence[str], to: Format, out: Path, *, images: HowImages = "copy", skip_damaged: bool = False
) -> Converted:
    """Write all splits of a data set in another format.

    Args:
        specs: as for `adept_training.labels.datasets.open_data`.
        to: the format.
        out: the folder to write; it appears whole or not at all.
        images: copy them, link to them (symbolic links), or write labels only.
        skip_damaged: leave damaged images and objects out instead of raising.

    Raises:
        DataError: the data set is damaged, or the format cannot express it.
        ImageDecodeError: an image cannot be read.
        OutputExistsError, DiskFullError: ``out`` cannot be written.
    """
    with atomic_folder(out) as folder:  # refuses an existing folder before the data are read
        data = open_data(specs, skip_damaged=skip_damaged)
        _check_once(data)
        losses, names = Losses(), image_names(data, by_stem=to != "coco")
        words: tuple[str, ...]
        if to == "coco":
            below = out / "images"
            if images == "none":
                below, names = common_names(data)
            targets = {folder / "images" / name: path for path, name in names.items()}
            write_coco(folder, data, names, losses)
            words = tuple(f"coco:{out / role}.json:{below}" for role in data.roles())
        elif to == "voc":
            targets = {folder / "JPEGImages" / name: path for path, name in names.items()}
            file = write_voc(folder, data, names, losses)
            words = (str(out / file) if file else f"voc:{out}",)
        else:
            targets = {path: image.path for path, image in yolo_images(folder, data, names).items()}
            write_yolo(folder, data, names, losses)
            words = (f"yolo:{out / 'data.yaml'}",)
        place_images(targets, images)
        _say_common(data, to, names, losses)
    missing = images == "none" and to != "coco"
    return Converted(data, words, tuple(losses.lines()), out / _FOLDERS[to] if missing else None)


def _check_once(data: Data) -> None:
    """Check that no image has labels in two parts of a split: a format has one record per image."""
    for role, split in data.roles().items():
        seen: set[Path] = set()
        for image in split.images:
            if image.path in seen:
                raise DataError(f"{role} has two records of the image {image.path}.\nGive each image once.")
            seen.add(image.path)


def _say_common(data: Data, to: Format, names: dict[Path, str], losses: Losses) -> None:
    """Add what every format leaves out."""
    images = [(split.part(image.key).source, image) for split in data.splits() for image in split.images]
    if any(source.startswith("coco:") for source, _ in images):
        losses.say("annotation ids and other fields of COCO (info, licenses, attributes, ...) are left out")
        if to != "coco":
            losses.say("COCO's areas and ids of images and categories are left out")
    if any(source.startswith("voc:") for source, _ in images):
        losses.say("other fields of VOC (pose, truncated, parts, ...) are left out")
    renamed = [(image.file_name, names[image.path]) for _, image in images
               if Path(image.file_name).name != Path(names[image.path]).name]  # fmt: skip
    if renamed:
        (before, after), count = renamed[0], len(renamed)
        losses.say(f"{count} images are renamed, because names must be unique and printable: {before!r} is {after!r}")
