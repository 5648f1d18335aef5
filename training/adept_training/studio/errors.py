"""TIDE's errors of a detector on a labeled set: computed image by image in the background, while the page is in use."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from adept_hub.detectors.detections import Detections
from adept_hub.detectors.torch_predictor import TorchPredictor
from adept_hub.errors import AdeptError, DataError
from adept_training.labels.identity import ImageKey
from adept_training.labels.records import Split
from adept_training.metrics.predict import predict_one
from adept_training.metrics.tide import MAIN, TideError, tide
from adept_training.studio.detectors import Models
from adept_training.studio.image_sets import rounded, shown

#: Errors of each kind that the page gets, those with the highest scores.
MOST = 1000


def errors_document(split: Split, found: Mapping[ImageKey, Detections]) -> dict[str, Any]:
    """Return the cost and the number of every kind, and the first errors of each, best scores first."""
    result = tide(split, found)
    number = {image.key: i for i, image in enumerate(split.images)}
    rows = []
    for kind in MAIN:
        own = sorted((one for one in result.errors if one.kind == kind), key=lambda one: -one.score)
        rows += [_row(one, split, found, number[one.image]) for one in own[:MOST]]
    return {
        "state": "done", "ap50": _plain(result.ap50), "classes": [shown(name) for name in split.classes],
        "kinds": [{"kind": kind, "count": result.counts[kind], "cost": _plain(result.main[kind])} for kind in MAIN],
        "most": MOST, "errors": rows,
    }  # fmt: skip


def _row(error: TideError, split: Split, found: Mapping[ImageKey, Detections], i: int) -> dict[str, Any]:
    image = split.images[i]
    row: dict[str, Any] = {
        "i": i, "image": shown(image.file_name), "kind": error.kind, "class": error.label - 1,
        "score": round(error.score, 3), "size": [image.width, image.height], "ignored": error.ignored,
    }  # fmt: skip
    if error.detection >= 0:
        row["found"] = rounded(found[error.image].boxes_D4[error.detection])
    if error.object >= 0:
        row["object"] = rounded(image.boxes_M4[error.object])
        row["object_class"] = int(image.labels_M[error.object]) - 1
    return row


class Evaluations:
    """Evaluations of (source, split), each started when the page first asks for it."""

    def __init__(self, models: Models) -> None:
        self._models = models
        self._states: dict[tuple[int, int], dict[str, Any]] = {}
        self._lock = threading.Lock()
        self._stopped = threading.Event()

    def document(self, number: int, set_number: int, split: Split) -> dict[str, Any]:
        """Return the errors, or how many images are done; start the evaluation at the first call."""
        place = (number, set_number)
        with self._lock:
            if place not in self._states:
                self._states[place] = {"state": "running", "done": 0, "images": len(split)}
                threading.Thread(target=self._run, args=(place, number, split), daemon=True).start()
            return self._states[place]

    def wait(self, number: int, set_number: int, split: Split) -> dict[str, Any]:
        """Return the errors when they are there, computed in this thread."""
        self._run((number, set_number), number, split)
        return self._states[number, set_number]

    def stop(self) -> None:
        """Let running evaluations end after their image."""
        self._stopped.set()

    def _run(self, place: tuple[int, int], number: int, split: Split) -> None:
        try:
            self._states[place] = self._evaluate(place, number, split)
        except AdeptError as error:
            self._states[place] = {"state": "failed", "error": str(error)}

    def _evaluate(self, place: tuple[int, int], number: int, split: Split) -> dict[str, Any]:
        predictor = self._models.predictor(number)
        if not isinstance(predictor, TorchPredictor) or predictor.regions:
            raise DataError("Only a fine-tuned detector has errors.\nFine-tune it: adept finetune SOURCE --data DATA "
                            "--out RUN")  # fmt: skip
        if set(predictor.classes) != set(split.classes):
            raise DataError("The classes of the detector are not those of the labels.\nGive the data set that it was "
                            "fine-tuned on.")  # fmt: skip
        split = split.with_classes(predictor.classes)
        found: dict[ImageKey, Detections] = {}
        for done, image in enumerate(split.images):
            if self._stopped.is_set():
                return {"state": "failed", "error": "Stopped."}
            self._states[place] = {"state": "running", "done": done, "images": len(split)}
            with self._models.lock:
                found[image.key] = predict_one(predictor.model, image).found or Detections.none()
        return errors_document(split, found)


def _plain(value: float) -> float | None:
    return None if value != value else round(value, 2)
