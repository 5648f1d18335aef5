"""Find what an export of a labeling tool (Label Studio, CVAT) lacks, and write the words or the file for it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from adept_hub.errors import DataError
from adept_hub.io.paths import is_dir, is_file
from adept_hub.io.read import BoundedReader
from adept_training.labels.records import Split

_READER = BoundedReader(DataError)
#: Subfolders that are searched for images, and images that must be in one.
_FOLDERS, _IMAGES = 50, 20


def data_yaml_command(place: Path) -> str:
    """Return a command that writes the missing ``data.yaml`` of an export in YOLO's layout; empty if it is none.

    Label Studio's has ``classes.txt``, ``images`` and ``labels``. CVAT's YOLO 1.1 has ``obj.names``, and labels next to
    the images in ``obj_train_data``.

    Args:
        place: the folder of the export, or a file in it.
    """
    folder = place if is_dir(place) else place.parent
    images = [name for name in ("images", "obj_train_data") if is_dir(folder / name)]
    names = [name for name in ("classes.txt", "obj.names") if is_file(folder / name)]
    if not images or not names:
        return ""
    text = _READER.read(folder / names[0]).decode("utf-8-sig", "replace")
    classes = json.dumps([line.strip() for line in text.splitlines() if line.strip()], ensure_ascii=False)
    content = [f"train: {images[0]}", f"names: {classes}"]
    return f"printf '%s\\n' {shlex.join(content)} > {shlex.quote(str(folder / 'data.yaml'))}"


def coco_words(split: Split) -> str:
    """Return ``coco:ANN.json:IMAGES`` with the folder in which the images of a split are, if not in the given one.

    Args:
        split: a split of one COCO file, none of whose images exists.

    Returns:
        the words; empty if no folder nearby has the images.
    """
    if len(split.parts) != 1 or not split.parts[0].source.startswith("coco:") or not split.images:
        return ""
    part = split.parts[0]
    annotations = Path(part.source.removeprefix("coco:").removesuffix(f":{part.folder}"))
    names = [image.file_name for image in split.images[:_IMAGES]]
    for folder in _nearby(part.folder, annotations.parent):
        if all(is_file(folder / name) for name in names):
            return f"coco:{annotations}:{folder}"
    return ""


def _nearby(images: Path, labels: Path) -> Iterator[Path]:
    """Yield folders around the given one and the labels."""
    yield from (images.parent, labels, labels / "images", labels.parent, labels.parent / "images")
    yield from islice((path for path in sorted(images.iterdir()) if is_dir(path)), _FOLDERS)
