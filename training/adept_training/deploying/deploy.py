"""Write a fine-tuned detector, predictors included, in another framework's own format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal, get_args

from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from adept_hub.arguments.calls import checked
from adept_hub.arguments.choices import check_choice
from adept_hub.checkpoint.folder import read_config
from adept_hub.convert.export import FILES, config_text, wrapped, write_weights
from adept_hub.convert.finetuned import convert_detector
from adept_hub.convert.options import Framework, Target
from adept_hub.errors import UnsupportedDetectorError
from adept_hub.io.schema import to_dict
from adept_hub.io.write import atomic_folder
from adept_hub.words.command_line import command_line
from adept_training.deploying.config import finished_config
from adept_training.deploying.onnx_graph import write_graph
from adept_training.finetuning.detector import DetectorConfig, load_detector

Format = Literal["torchvision", "detectron2", "mmdet", "onnx"]
FORMATS: tuple[str, ...] = get_args(Format)
GRAPH, LABELS = "model.onnx", "classes.json"


@checked
def deploy(folder: Path, form: Format, out: Path) -> list[Path]:
    """Write a fine-tuned detector for a framework: all its weights, and the config that agrees with them.

    Args:
        folder: folder of `adept_training.finetuning.detector.save_detector`.
        form: one of `FORMATS`.
        out: the folder to write; must not exist, or be empty.

    Returns:
        The weights, the config (ONNX has none) and classes.json: the classes in order, and the detector's recipe.

    Raises:
        UnsupportedDetectorError: Detectron2 or MMDetection cannot run a cosine classifier; or the format is unknown.
        MissingExtraError: the packages for ONNX are not installed.
        OutputExistsError, DiskFullError: ``out`` cannot be written. CheckpointError: ``folder`` is invalid.
    """
    check_choice("framework", form, FORMATS, UnsupportedDetectorError)
    # The folder first: an existing one raises before any work, and all files appear at once or not at all.
    with atomic_folder(out) as temporary:
        model, config = load_detector(folder)
        if form == "onnx":
            names = [GRAPH]
            write_graph(model, config.recipe, temporary / GRAPH)
        else:
            names = list(FILES[form])
            _write(folder, model, config, form, temporary, out)
        (temporary / LABELS).write_text(_labels(config), encoding="utf-8")
    return [out / name for name in (*names, LABELS)]


def _write(
    folder: Path, model: GeneralizedRCNN, config: DetectorConfig, form: Framework, temporary: Path, out: Path
) -> None:
    """Write weights and config of a framework to ``temporary``, with ``out`` in the commands."""
    if form != "torchvision" and config.recipe.classifier != "linear":
        raise UnsupportedDetectorError(
            f"{folder} has a {config.recipe.classifier} classifier, which stock {form} lacks.\n"
            f"With it: {command_line('deploy', folder, '--to', 'torchvision', '--out', out)}"
        )
    checkpoint, detector = read_config(folder), config.recipe.detector
    text = config_text(checkpoint, form, Target(detector=detector, num_classes=len(config.classes) + 1), out)
    state = model.state_dict()
    if form != "torchvision":
        state = convert_detector(state, "torchvision", form, detector)
    content = wrapped(state, form)
    if form == "mmdet":  # MMDetection writes it with its inference results
        content["meta"] = {"dataset_meta": {"classes": list(config.classes)}}
    weights, name = FILES[form]
    write_weights(temporary / weights, content)
    (temporary / name).write_text(finished_config(form, text, config), encoding="utf-8")


def _labels(config: DetectorConfig) -> str:
    return json.dumps({"classes": config.classes, "detector": to_dict(config.recipe)}, indent=2) + "\n"
