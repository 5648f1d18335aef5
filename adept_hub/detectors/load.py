"""Load a fine-tuned detector, a deployed graph, or the RPN of a source, for predictions."""

from __future__ import annotations

from pathlib import Path

from adept_hub.arguments.calls import checked
from adept_hub.arguments.choices import check_choice
from adept_hub.detectors.device import find_device
from adept_hub.detectors.folder import find_detector, read_detector
from adept_hub.detectors.onnx_predictor import find_graph, load_graph
from adept_hub.detectors.predictor import Predictor
from adept_hub.detectors.regions import at_pretraining_scale
from adept_hub.detectors.torch_predictor import TorchPredictor
from adept_hub.errors import SourceError
from adept_hub.hub.fetch import fetch
from adept_hub.spec import DEVICES

#: Name of the only class of a source that has no classes yet.
REGION = "region"


@checked
def load_detector(source: str | Path, *, device: str = "auto") -> Predictor:
    """Load a fine-tuned detector for predictions, or a pre-trained source, which shows class-agnostic regions.

    Args:
        source: a run of ``adept finetune``, its ``best`` or ``last``, a deployed ONNX graph, its folder or file,
            which onnxruntime runs, or a source of weights.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.

    Raises:
        SourceError: the source has no RPN, so it finds nothing yet. Others as in `adept_hub.load_pretrained`.
        MissingExtraError: the source is a graph, and onnxruntime is not installed.

    Example:
        >>> adept_hub.load_detector("runs/bccd").predict(["a.jpg"])  # doctest: +SKIP
    """
    name = str(source)
    check_choice("device", device, DEVICES)
    folder, graph = find_detector(name), find_graph(name)
    if folder is None and graph is not None:
        return load_graph(graph, name, device)
    where = find_device(device)
    if folder is not None:
        model, config = read_detector(folder)
        return TorchPredictor(name, config.classes, model.to(where))
    config_of_source = fetch(name).config
    if lacking := [part for part in ("backbone", "fpn", "rpn") if part not in config_of_source.parts]:
        raise SourceError(
            f"{source} has no {' and no '.join(lacking)}, so it finds no regions yet.\n"
            f"Fine-tune it: adept finetune {source} --data DATA --out runs/mine"
        )
    model = at_pretraining_scale(name, config_of_source)
    return TorchPredictor(name, (REGION,), model.to(where), regions=True)
