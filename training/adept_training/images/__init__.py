"""Image sources, with the one reader and decoder that every stage shares (`adept_hub.images`).

An ``ImageSource`` lists keys and returns encoded bytes; ``decode`` turns the bytes into RGB uint8. Selective search is
unstable (re-encoding a JPEG at quality 95 moves its boxes to a mean IoU of 0.77), so proposals and views must see the
same pixels: nothing else in the trainer opens an image file.
"""

from adept_hub.images.decode import (
    FORMATS,
    MAX_PIXELS,
    content_hash,
    decode,
    decoder_version,
    read_size,
)
from adept_hub.images.files import IMAGE_SUFFIXES, read_file, read_file_size
from adept_training.images.sources import FileImages, ImageSource, ShardImages, open_images

__all__ = [
    "FORMATS",
    "IMAGE_SUFFIXES",
    "MAX_PIXELS",
    "FileImages",
    "ImageSource",
    "ShardImages",
    "content_hash",
    "decode",
    "decoder_version",
    "open_images",
    "read_file",
    "read_file_size",
    "read_size",
]
