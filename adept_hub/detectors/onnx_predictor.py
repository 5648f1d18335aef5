"""Run a detector that was deployed to ONNX with onnxruntime.

Legend: N images of one size, H x W pixels, D detections.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from adept_hub.detectors.detections import MASK_THRESHOLD, Detections
from adept_hub.detectors.masks import encode_mask
from adept_hub.detectors.predictor import Pixels, Predictor
from adept_hub.errors import MissingExtraError, OptionValueError, SourceError
from adept_hub.io.paths import expanded, is_file
from adept_hub.io.read import BoundedReader, parse_json

#: The file of a graph, in the folder of `adept deploy --to onnx`.
GRAPH = "model.onnx"
#: Value of ``format`` in the graph's metadata.
FORMAT = "adept-hub detector 1"
_MAX_GRAPH = (1 << 31) - 1  # protobuf's own limit
_REMEDY = "Deploy the detector again: adept deploy RUN --to onnx --out DIR"
_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


@dataclass(frozen=True, eq=False)
class OnnxPredictor(Predictor):
    """A graph in onnxruntime.

    Attributes:
        session: onnxruntime's.
        score: least score of the detections that the graph returns.
        most: number of detections per image that it returns at most.
    """

    session: Any
    score: float
    most: int

    def _detect(self, batch: Sequence[Pixels], score: float, most: int | None) -> Iterator[Detections]:
        if score < self.score or (most or 0) > self.most:
            raise OptionValueError(
                f"{self.name} returns at most {self.most} detections with scores from {self.score:g}, fixed when it "
                "was deployed.\nFor more, predict with the run itself."
            )
        for outputs in self._run(batch):
            boxes_D4, labels_D, scores_D, *masks = outputs
            kept = np.flatnonzero(scores_D >= score)[:most]
            rle = tuple(encode_mask(mask_1HW[0] > MASK_THRESHOLD) for mask_1HW in masks[0][kept]) if masks else None
            yield Detections(
                boxes_D4[kept].astype(np.float64), scores_D[kept].astype(np.float64), labels_D[kept] + 1, rle
            )

    def _run(self, batch: Sequence[Pixels]) -> Iterator[list[npt.NDArray[Any]]]:
        """Yield the outputs for each image, detections on the first axis."""
        (given,) = self.session.get_inputs()
        if len(given.shape) == 3:
            for pixels_HW3 in batch:
                yield self.session.run(None, {given.name: _as_input(pixels_HW3)})
            return
        fixed = given.shape[0] if isinstance(given.shape[0], int) else None
        for _, same in groupby(batch, key=lambda pixels_HW3: pixels_HW3.shape):
            images = [_as_input(pixels_HW3) for pixels_HW3 in same]
            for start in range(0, len(images), fixed or len(images)):
                group = images[start : start + (fixed or len(images))]
                filled = group + group[-1:] * ((fixed or 0) - len(group))
                *outputs, counts_N = self.session.run(None, {given.name: np.stack(filled)})
                for n in range(len(group)):
                    yield [output[n, : counts_N[n]] for output in outputs]


def find_graph(source: str) -> Path | None:
    """Return the ``.onnx`` file of a source: itself, or `GRAPH` in a folder; None if there is none."""
    path = expanded(source.removeprefix("local-dir:"), SourceError)
    graph = path if path.suffix.lower() == ".onnx" else path / GRAPH
    return graph if is_file(graph) else None


def load_graph(graph: Path, name: str, device: str) -> OnnxPredictor:
    """Load a deployed graph.

    Args:
        graph: the file.
        name: of the source.
        device: ``auto``, ``cpu`` or ``cuda``.

    Raises:
        MissingExtraError: onnxruntime is not installed.
        OptionValueError: onnxruntime cannot run on this device here.
        SourceError: the file is not such a graph.
    """
    content = BoundedReader(SourceError, _MAX_GRAPH, remedy=_REMEDY).read(graph)
    try:
        onnxruntime: Any = importlib.import_module("onnxruntime")
    except ModuleNotFoundError as error:
        raise MissingExtraError("A detector in ONNX", "onnx", "onnxruntime") from error
    state: Any = importlib.import_module("onnxruntime.capi.onnxruntime_pybind11_state")
    # Its errors share no base class but Exception.
    errors: tuple[type[Exception], ...] = tuple(
        one for one in vars(state).values() if isinstance(one, type) and issubclass(one, Exception)
    )
    available = onnxruntime.get_available_providers()
    chosen = device if device != "auto" else "cuda" if _PROVIDERS["cuda"] in available else "cpu"
    if _PROVIDERS.get(chosen) not in available:
        raise OptionValueError(
            f"device={chosen!r} is not available: this onnxruntime has {', '.join(available)}.\nUse device='cpu'."
        )
    try:
        # From bytes, so that a graph cannot name other files for its tensors.
        session = onnxruntime.InferenceSession(content, providers=[_PROVIDERS[chosen]])
    except errors as error:
        reason = " ".join(str(error).split())[:200]
        raise SourceError(f"{graph} is not a graph that onnxruntime can load: {reason}\n{_REMEDY}") from error
    facts = session.get_modelmeta().custom_metadata_map
    if facts.get("format") != FORMAT:
        raise SourceError(f"{graph} has no metadata of adept deploy, so its classes are unknown.\n{_REMEDY}")
    try:
        classes = tuple(map(str, parse_json(facts["classes"], f"{graph}, classes", SourceError, remedy=_REMEDY)))
        return OnnxPredictor(
            name, classes, session=session, score=float(facts["score_threshold"]), most=int(facts["detections"])
        )
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise SourceError(f"{graph} has damaged metadata ({error}).\n{_REMEDY}") from error


def _as_input(pixels_HW3: Pixels) -> npt.NDArray[np.float32]:
    """Return float32 (3, H, W) in [0, 1]."""
    return np.ascontiguousarray(pixels_HW3.transpose(2, 0, 1), np.float32) / np.float32(255)
