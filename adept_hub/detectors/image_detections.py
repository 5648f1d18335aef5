"""The detections of one image with the image itself, so that they can be looked at.

Legend: D detections, best first.
"""

from __future__ import annotations

import base64
import html
import importlib
import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from adept_hub.detectors.detections import Detections
from adept_hub.detectors.draw import draw_detections
from adept_hub.detectors.masks import decode_mask
from adept_hub.errors import MissingExtraError

if TYPE_CHECKING:
    from PIL.Image import Image

_SHOWN = 10


@dataclass(frozen=True, eq=False)
class ImageDetections(Detections):
    """Detections of an image, best first: boxes float64 xyxy in its pixels, continuous, right edge exclusive.

    Attributes:
        image: name of the image.
        pixels_HW3: RGB uint8, as it is shown (orientation applied).
        classes: names of the classes; ``labels_D`` counts from 1, so label k is ``classes[k - 1]``.
    """

    image: str = ""
    pixels_HW3: npt.NDArray[np.uint8] = field(default_factory=lambda: np.zeros((0, 0, 3), np.uint8))
    classes: tuple[str, ...] = ()

    @property
    def class_names(self) -> list[str]:
        """The class of each detection."""
        return [self.classes[int(label) - 1] for label in self.labels_D]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the image in pixels."""
        return self.pixels_HW3.shape[0], self.pixels_HW3.shape[1]

    def plot(self, height: int | None = None) -> Image:
        """Return the image with its boxes; ``height`` in pixels, by default that of the image."""
        return draw_detections(self.pixels_HW3, self, self.classes, height)

    def to_supervision(self) -> Any:
        """Return ``supervision.Detections``, whose class IDs count from 0.

        Raises:
            MissingExtraError: supervision is not installed.
        """
        try:
            supervision: Any = importlib.import_module("supervision")
        except ModuleNotFoundError as error:
            raise MissingExtraError("to_supervision()", "supervision", "supervision") from error
        return supervision.Detections(
            xyxy=self.boxes_D4.astype(np.float32),
            confidence=self.scores_D.astype(np.float32),
            mask=None
            if self.masks is None
            else np.array([decode_mask(one) for one in self.masks], bool).reshape(-1, *self.size),
            class_id=self.labels_D - 1,
            data={"class_name": np.array(self.class_names)},
        )

    def __repr__(self) -> str:
        shown = ", ".join(f"{n} {s:.2f}" for n, s in zip(self.class_names[:_SHOWN], self.scores_D, strict=False))
        rest = f", and {len(self) - _SHOWN} more" if len(self) > _SHOWN else ""
        return f"<{self.image}: {len(self)} detections{f': {shown}{rest}' if len(self) else ''}>"

    def _repr_html_(self) -> str:
        """Show the image with its boxes in a notebook."""
        buffer = io.BytesIO()
        self.plot(min(self.size[0], 480)).save(buffer, format="JPEG", quality=85)
        data = base64.b64encode(buffer.getvalue()).decode()
        caption = html.escape(repr(self))
        return f'<figure><img src="data:image/jpeg;base64,{data}"><figcaption>{caption}</figcaption></figure>'
