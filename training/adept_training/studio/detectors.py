"""Models of the sources, loaded when they are first needed, and what they find in an image.

One lock guards them all: a model's settings change while it predicts, and two cores do not run two models faster.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from adept_hub.detectors.detections import Detections
from adept_hub.detectors.load import load_detector
from adept_hub.detectors.predictor import Predictor
from adept_hub.detectors.torch_predictor import TorchPredictor
from adept_hub.errors import SourceError
from adept_training.studio.image_sets import ImageSet, rounded, shown, truth_of
from adept_training.studio.objectness import maps_document, untrained
from adept_training.studio.sources import Opened

#: Least score that the page gets, and detections or regions per image.
LEAST, MOST = 0.05, 100
#: Images on which the norms of the random network are measured.
_MEASURED = 4


class Models:
    """The sources with weights, in order, then the network of the first of them with random weights."""

    def __init__(self, sources: Sequence[Opened], device: str) -> None:
        self.sources = [one for one in sources if one.config is not None]
        self._device = device
        self._loaded: dict[int, Predictor] = {}
        self._random: TorchPredictor | None = None
        self.lock = threading.RLock()

    def __len__(self) -> int:
        return len(self.sources)

    def predictor(self, number: int) -> Predictor:
        """Load a source, or return it from memory. Raises as `adept_hub.detectors.load.load_detector`."""
        with self.lock:
            if number not in self._loaded:
                self._loaded[number] = load_detector(self.sources[number].word, device=self._device)
            return self._loaded[number]

    def maps(self, number: int, images: ImageSet, i: int) -> dict[str, Any]:
        """Return the objectness maps of an image by a source, or by the random network if it is the last number.

        Raises:
            SourceError: the source has no RPN, or is a graph.
        """
        with self.lock:
            model = self._random_network(images) if number == len(self.sources) else self.predictor(number)
            if not isinstance(model, TorchPredictor):
                raise SourceError(f"{self.sources[number].name} is a graph: its objectness cannot be read.")
            return maps_document(model.model, images.pixels(i))

    def found(self, number: int, images: ImageSet, i: int) -> dict[str, Any]:
        """Return the detections of an image, or regions with ranks for weights without classes."""
        pixels = images.pixels(i)
        with self.lock:
            predictor = self.predictor(number)
            score = 0.0 if predictor.regions else LEAST
            each = predictor.predict_each([(images.keys[i], pixels)], score=score, most=MOST, batch_size=1)
            found = next(iter(each))
        classes = images.split.classes if images.split is not None else ()
        return {
            "regions": predictor.regions, "size": [pixels.shape[1], pixels.shape[0]],
            "classes": [shown(name) for name in predictor.classes], "found": rows_of(found),
            "truth": truth_of(images.labeled(i), classes), "least": LEAST,
        }  # fmt: skip

    def _random_network(self, images: ImageSet) -> TorchPredictor:
        if self._random is None:
            first, config = self.predictor(0), self.sources[0].config
            if not isinstance(first, TorchPredictor) or config is None:
                raise SourceError(f"{self.sources[0].name} is a graph: it has no network with random weights.")
            chosen = np.linspace(0, len(images) - 1, min(_MEASURED, len(images))).astype(int).tolist()
            network = untrained(first.model, config.spec, [images.pixels(i) for i in chosen])
            self._random = TorchPredictor("random weights", first.classes, network, regions=True)
        return self._random


def rows_of(found: Detections) -> list[dict[str, Any]]:
    """Return detections for the page, best first; classes count from 0."""
    return [
        {"box": rounded(box), "score": round(float(score), 3), "class": int(label) - 1}
        for box, score, label in zip(found.boxes_D4, found.scores_D, found.labels_D, strict=True)
    ]
