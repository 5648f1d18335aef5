"""Run a detector, or the RPN of a source, in torch.

Legend: D detections.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from adept_hub.detectors.detections import Detections, as_detections
from adept_hub.detectors.predictor import Pixels, Predictor
from adept_hub.models.propose import propose

#: Number of regions that are shown by default.
REGIONS = 12


@dataclass(frozen=True, eq=False)
class TorchPredictor(Predictor):
    """A model in evaluation mode.

    Attributes:
        model: torchvision's, on its device.
    """

    model: GeneralizedRCNN

    @torch.inference_mode()
    def _detect(self, batch: Sequence[Pixels], score: float, most: int | None) -> Iterator[Detections]:
        device = next(self.model.parameters()).device
        inputs = [_as_input(pixels_HW3, device) for pixels_HW3 in batch]
        rows = self._regions(inputs) if self.regions else self._detections(inputs, score, most)
        limit = most or (REGIONS if self.regions else None)
        for row in rows:
            kept = {key: values[:limit] for key, values in row.items()}
            yield as_detections(kept["boxes"], kept["scores"], kept["labels"], kept.get("masks"))

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


def _as_input(pixels_HW3: Pixels, device: torch.device) -> Tensor:
    """Return float32 (3, H, W) in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(pixels_HW3.transpose(2, 0, 1))).to(device).float() / 255
