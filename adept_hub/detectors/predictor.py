"""Find objects in images: the call that every back end shares.

Legend: D detections, H x W pixels of an image.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from adept_hub.detectors.detections import Detections
from adept_hub.detectors.image_detections import ImageDetections
from adept_hub.errors import OptionValueError
from adept_hub.images.decode import decode
from adept_hub.images.files import read_file

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Predictor(ABC):
    """A detector that is ready for images, in torch or in ONNX Runtime.

    Attributes:
        name: the source that was loaded.
        classes: names of the classes; label k is ``classes[k - 1]``.
        regions: whether it is a source without classes, whose RPN's best regions are shown.
    """

    name: str
    classes: tuple[str, ...]
    regions: bool = field(default=False, kw_only=True)

    def predict(
        self,
        images: Iterable[str | Path | Pixels | Any] | str | Path | Pixels | Any,
        *,
        score: float = 0.3,
        most: int | None = None,
        batch_size: int = 1,
    ) -> list[ImageDetections]:
        """Return the detections of each image.

        Args:
            images: paths, RGB arrays uint8 (H, W, 3), or PIL images; a single one is a list of one.
            score: least score of a detection. It does not apply to regions, whose objectness is not a probability.
            most: number of detections per image at most; by default the detector's own, or 12 regions.
            batch_size: images per pass; batches are padded, so that scores may differ slightly from single images.

        Raises:
            ImageDecodeError: a file is not a readable image.
            OptionValueError: an array has another shape or type, or an option is out of range.

        Example:
            >>> detector = adept_hub.load_detector("runs/bccd")  # doctest: +SKIP
            >>> detector.predict(["a.jpg"])[0].plot().save("a-boxes.png")  # doctest: +SKIP
        """
        if not 0 <= score <= 1:
            raise OptionValueError(f"score={score:g} is not between 0 and 1.")
        for option, value in (("most", most), ("batch_size", batch_size)):
            if value is not None and value < 1:
                raise OptionValueError(f"{option}={value} is less than 1.")
        named = ((*_read(image, number),) for number, image in enumerate(_several(images), start=1))
        return list(self.predict_each(named, score=score, most=most, batch_size=batch_size))

    def predict_each(
        self, images: Iterable[tuple[str, Pixels]], *, score: float, most: int | None, batch_size: int
    ) -> Iterator[ImageDetections]:
        """Yield the detections of named images RGB uint8 (H, W, 3), in order; see `predict`."""
        batch: list[tuple[str, Pixels]] = []
        for image in images:
            batch.append(image)
            if len(batch) >= batch_size:
                yield from self._predict_batch(batch, score, most)
                batch = []
        if batch:
            yield from self._predict_batch(batch, score, most)

    def _predict_batch(
        self, batch: Sequence[tuple[str, Pixels]], score: float, most: int | None
    ) -> Iterator[ImageDetections]:
        results = self._detect([pixels_HW3 for _, pixels_HW3 in batch], score, most)
        for (name, pixels_HW3), one in zip(batch, results, strict=True):
            yield ImageDetections(
                one.boxes_D4, one.scores_D, one.labels_D, one.masks, name, pixels_HW3, self.classes
            )  # fmt: skip

    @abstractmethod
    def _detect(self, batch: Sequence[Pixels], score: float, most: int | None) -> Iterable[Detections]:
        """Return the detections of each image of a batch."""


def _several(images: Any) -> Iterable[Any]:
    """Return the images as an iterable: a path, one array and a PIL image are a single one."""
    one = isinstance(images, str | Path) or hasattr(images, "convert") or getattr(images, "ndim", 0) in (2, 3)
    return [images] if one else images


def _read(image: Any, number: int) -> tuple[str, Pixels]:
    """Return the name and the pixels of an image."""
    if isinstance(image, str | Path):
        return str(image), decode(read_file(Path(image), str(image)), str(image))
    pixels_HW3 = np.asarray(image.convert("RGB") if hasattr(image, "convert") else image)
    if pixels_HW3.dtype != np.uint8 or pixels_HW3.ndim != 3 or pixels_HW3.shape[2] != 3 or not pixels_HW3.size:
        raise OptionValueError(
            f"image {number} is an array {pixels_HW3.dtype} of shape {pixels_HW3.shape}; it must be RGB uint8 (H, W, 3)"
        )
    return f"image {number}", pixels_HW3
