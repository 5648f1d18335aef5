"""What a path that was given without its format seems to be, to be told how it is written."""

from __future__ import annotations

from pathlib import Path

from adept_hub.errors import DataError
from adept_hub.io.paths import expanded, is_dir, is_file


def likely_data(word: str, base: Path = Path()) -> str:
    """Return ``DATA`` for a VOC folder, a COCO JSON or a folder with a data.yaml; empty for anything else.

    Args:
        word: what was given in place of ``DATA``.
        base: folder that relative paths begin at.
    """
    path = base / expanded(word, DataError)
    if is_dir(path / "ImageSets" / "Main"):
        return f"voc:{word}"
    if is_file(path / "data.yaml"):
        return f"yolo:{Path(word, 'data.yaml').as_posix()}"
    if path.suffix.lower() == ".json" and is_file(path):
        return f"coco:{word}:IMAGE_DIR"
    return ""
