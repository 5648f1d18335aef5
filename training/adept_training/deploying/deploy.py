"""Write a fine-tuned detector, predictors included, in another framework's own format."""

from __future__ import annotations

import json
from pathlib import Path

from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from adept_hub.arguments.calls import checked
from adept_hub.arguments.choices import check_choice
from adept_hub.checkpoint.folder import read_config
from adept_hub.convert.export import config_text, write_weights
from adept_hub.convert.options import Target
from adept_hub.convert.predictors import convert_detector
from adept_hub.errors import UnsupportedDetectorError
from adept_hub.frameworks import FRAMEWORKS, TORCHVISION, Framework, find_framework
from adept_hub.io.schema import to_dict
from adept_hub.io.write import atomic_folder
from adept_hub.words.command_line import command_line
from adept_training.deploying.config import inference_settings
from adept_training.deploying.onnx_graph import write_graph
from adept_training.finetuning.detector import DetectorConfig, load_detector

ONNX = "onnx"
GRAPH, LABELS = "model.onnx", "classes.json"


@checked
def deploy(folder: Path, form: str, out: Path) -> list[Path]:
    """Write a fine-tuned detector for a framework: all its weights, and the config that agrees with them.

    Args:
        folder: folder of `adept_training.finetuning.detector.save_detector`.
        form: a name in `adept_hub.frameworks.FRAMEWORKS`, or ``onnx``.
        out: the folder to write; must not exist, or be empty.

    Returns:
        The weights, the config (ONNX has none) and classes.json: the classes in order, and the detector's recipe.

    Raises:
        UnsupportedDetectorError: Detectron2 or MMDetection cannot run a cosine classifier; or the format is unknown.
        MissingExtraError: the packages for ONNX are not installed.
        OutputExistsError, DiskFullError: ``out`` cannot be written. CheckpointError: ``folder`` is invalid.
    """
    check_choice("framework", form, (*FRAMEWORKS, ONNX), UnsupportedDetectorError)
    # The folder first: an existing one raises before any work, and all files appear at once or not at all.
    with atomic_folder(out) as temporary:
        model, config = load_detector(folder)
        if form == ONNX:
            names = [GRAPH]
            write_graph(model, config.recipe, temporary / GRAPH)
        else:
            framework = find_framework(form)
            names = [framework.weights_file, framework.config_file]
            _write(folder, model, config, framework, temporary, out)
        (temporary / LABELS).write_text(_labels(config), encoding="utf-8")
    return [out / name for name in (*names, LABELS)]


def _write(
    folder: Path, model: GeneralizedRCNN, config: DetectorConfig, framework: Framework, temporary: Path, out: Path
) -> None:
    """Write weights and config of a framework to ``temporary``, with ``out`` in the commands."""
    if config.recipe.classifier != "linear" and not framework.holds_source:
        raise UnsupportedDetectorError(
            f"{folder} has a {config.recipe.classifier} classifier, which stock {framework.name} lacks.\n"
            f"With it: {command_line('deploy', folder, '--to', TORCHVISION.name, '--out', out)}"
        )
    checkpoint, detector = read_config(folder), config.recipe.detector
    target = Target(detector=detector, num_classes=len(config.classes) + 1)
    text = config_text(checkpoint, framework, target, out, settings=inference_settings(config))
    state = model.state_dict()
    if config.recipe.classifier == "linear":
        state = convert_detector(state, TORCHVISION, framework, detector)
    write_weights(temporary / framework.weights_file, framework.wrap(state, config.classes))
    (temporary / framework.config_file).write_text(text, encoding="utf-8")


def _labels(config: DetectorConfig) -> str:
    return json.dumps({"classes": config.classes, "detector": to_dict(config.recipe)}, indent=2) + "\n"
