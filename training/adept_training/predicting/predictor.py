"""Load a fine-tuned detector, or the RPN of a source, and run it on images.

Legend: D detections.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from adept_hub.arguments.calls import checked
from adept_hub.errors import SourceError
from adept_hub.hub.fetch import fetch
from adept_hub.models.propose import propose
from adept_training.finetuning.detector import find_detector
from adept_training.finetuning.detector import load_detector as load_folder
from adept_training.images import decode, read_file
from adept_training.metrics.predict import as_detections
from adept_training.predicting.detections import ImageDetections
from adept_training.predicting.regions import at_pretraining_scale
from adept_training.runtime.launch import make_fabric

Pixels = npt.NDArray[np.uint8]
#: Name of the only class of a source that has no classes yet.
REGION = "region"
#: Number of regions that are shown by default.
REGIONS = 12


@dataclass(frozen=True, eq=False)
class Predictor:
    """A detector, in evaluation mode, and the names of its classes.

    Attributes:
        name: the source that was loaded.
        classes: names of the classes; label k is ``classes[k - 1]``.
        regions: whether it is a source without classes, whose RPN's best regions are shown.
    """

    name: str
    model: GeneralizedRCNN
    classes: tuple[str, ...]
    regions: bool = False

    def predict(
        self,
        images: Iterable[str | Path | Pixels | Any],
        *,
        score: float = 0.3,
        most: int | None = None,
        batch_size: int = 1,
    ) -> list[ImageDetections]:
        """Return the detections of each image.

        Args:
            images: paths, RGB arrays uint8 (H, W, 3), or PIL images.
            score: least score of a detection. It does not apply to regions, whose objectness is not a probability.
            most: number of detections per image at most; by default the detector's own, or 12 regions.
            batch_size: images per pass; batches are padded, so that scores may differ slightly from single images.

        Raises:
            ImageDecodeError: a file is not a readable image.
            ValueError: an array has another shape or type.

        Example:
            >>> detector = adept_training.load_detector("runs/bccd")  # doctest: +SKIP
            >>> detector.predict(["a.jpg"])[0].plot().save("a-boxes.png")  # doctest: +SKIP
        """
        named = ((*_read(image, number),) for number, image in enumerate(images, start=1))
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

    @torch.inference_mode()
    def _predict_batch(
        self, batch: Sequence[tuple[str, Pixels]], score: float, most: int | None
    ) -> Iterator[ImageDetections]:
        device = next(self.model.parameters()).device
        inputs = [_as_input(pixels_HW3, device) for _, pixels_HW3 in batch]
        rows = self._regions(inputs) if self.regions else self._detections(inputs, score, most)
        limit = most or (REGIONS if self.regions else None)
        for (name, pixels_HW3), row in zip(batch, rows, strict=True):
            kept = {key: values[:limit] for key, values in row.items()}
            one = as_detections(kept["boxes"], kept["scores"], kept["labels"], kept.get("masks"))
            yield ImageDetections(
                one.boxes_D4, one.scores_D, one.labels_D, one.masks, name, pixels_HW3, self.classes
            )  # fmt: skip

    def _regions(self, inputs: Sequence[Tensor]) -> list[dict[str, Tensor]]:
        rows = []
        for one in propose(self.model, inputs):
            labels = torch.ones(len(one.scores_K), dtype=torch.int64)
            rows.append({"boxes": one.boxes_K4, "scores": one.scores_K, "labels": labels})
        return rows

    def _detections(self, inputs: list[Tensor], score: float, most: int | None) -> list[dict[str, Tensor]]:
        """Run the detector with another least score and number; NMS keeps the same boxes above any least score."""
        heads = self.model.roi_heads
        before = (heads.score_thresh, heads.detections_per_img)
        heads.score_thresh, heads.detections_per_img = score, most or heads.detections_per_img
        try:
            rows: list[dict[str, Tensor]] = self.model(inputs)
        finally:
            heads.score_thresh, heads.detections_per_img = before
        return rows


@checked
def load_detector(source: str | Path, *, device: str = "auto") -> Predictor:
    """Load a fine-tuned detector for predictions, or a pre-trained source, which shows class-agnostic regions.

    Args:
        source: a run of `finetune`, its ``best`` or ``last``, or a source of weights.
        device: ``auto``, ``cpu`` or ``cuda``.

    Raises:
        SourceError: the source has no RPN, so it finds nothing yet. Others as in `adept_hub.load_pretrained`.

    Example:
        >>> adept_training.load_detector("runs/bccd").predict(["a.jpg"])  # doctest: +SKIP
    """
    where = make_fabric("fp32", device).device
    folder = find_detector(str(source))
    if folder is not None:
        model, config = load_folder(folder)
        return Predictor(str(source), model.to(where), config.classes)
    config_of_source = fetch(str(source)).config
    if lacking := [part for part in ("backbone", "fpn", "rpn") if part not in config_of_source.parts]:
        raise SourceError(
            f"{source} has no {' and no '.join(lacking)}, so it finds no regions yet.\n"
            f"Fine-tune it: adept finetune {source} --data DATA --out runs/mine"
        )
    model = at_pretraining_scale(str(source), config_of_source)
    return Predictor(str(source), model.to(where), (REGION,), regions=True)


def _read(image: Any, number: int) -> tuple[str, Pixels]:
    """Return the name and the pixels of an image."""
    if isinstance(image, str | Path):
        return str(image), decode(read_file(Path(image), str(image)), str(image))
    pixels_HW3 = np.asarray(image.convert("RGB") if hasattr(image, "convert") else image)
    if pixels_HW3.dtype != np.uint8 or pixels_HW3.ndim != 3 or pixels_HW3.shape[2] != 3 or not pixels_HW3.size:
        raise ValueError(
            f"image {number} is an array {pixels_HW3.dtype} of shape {pixels_HW3.shape}; it must be RGB uint8 (H, W, 3)"
        )
    return f"image {number}", pixels_HW3


def _as_input(pixels_HW3: Pixels, device: torch.device) -> Tensor:
    """Return float32 (3, H, W) in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(pixels_HW3.transpose(2, 0, 1))).to(device).float() / 255
