"""Open images for predictions: as everywhere, or a single image file."""

from __future__ import annotations

from pathlib import Path

from adept_hub.errors import ImagesError
from adept_hub.images.files import IMAGE_SUFFIXES, key_of
from adept_hub.io.paths import expanded, is_file
from adept_training.images import ImageSource, open_images
from adept_training.images.sources import FileImages


def open_one_or_many(where: str | Path) -> ImageSource:
    """Open an image file, or images as `adept_training.images.open_images` takes them.

    Raises:
        ImagesError: the path does not exist, or contains no images.
    """
    if not str(where).startswith("hf-datasets:"):
        path = expanded(where, ImagesError)
        if path.name.lower().endswith(IMAGE_SUFFIXES) and is_file(path):
            return FileImages(path.parent, (key_of(path.name),))
    return open_images(where)
