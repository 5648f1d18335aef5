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
from adept_hub.detectors.folder import DetectorConfig, read_detector
from adept_hub.detectors.onnx_predictor import GRAPH
from adept_hub.errors import OptionValueError, UnsupportedDetectorError
from adept_hub.frameworks import FRAMEWORKS, TORCHVISION, Framework, find_framework
from adept_hub.io.schema import to_dict
from adept_hub.io.write import atomic_folder
from adept_hub.words.command_line import command_line
from adept_training.deploying.config import graph_facts, inference_settings
from adept_training.deploying.onnx_graph import write_graph
from adept_training.deploying.run_script import RUN

ONNX = "onnx"
MAX_BATCH = 4096
LABELS, PROGRAM = "classes.json", "run.py"


@checked
def deploy(folder: Path, form: str, out: Path, batch: int | str | None = None) -> list[Path]:
    """Write a fine-tuned detector for a framework: all its weights, and the config that agrees with them.

    Args:
        folder: folder of `adept_training.finetuning.detector.save_detector`.
        form: a name in `adept_hub.frameworks.FRAMEWORKS`, or ``onnx``.
        out: the folder to write; must not exist, or be empty.
        batch: of ONNX: a number of images, ``dynamic`` for any number, or None for a graph that takes one image.

    Returns:
        The weights, the config (ONNX: run.py, a program that needs no torch) and classes.json: the classes in order,
        and the detector's recipe.

    Raises:
        UnsupportedDetectorError: Detectron2 or MMDetection cannot run a cosine classifier; or the format is unknown.
        MissingExtraError: the packages for ONNX are not installed.
        OutputExistsError, DiskFullError: ``out`` cannot be written. CheckpointError: ``folder`` is invalid.
    """
    check_choice("framework", form, (*FRAMEWORKS, ONNX), UnsupportedDetectorError)
    images = _batch(batch, form)
    # The folder first: an existing one raises before any work, and all files appear at once or not at all.
    with atomic_folder(out) as temporary:
        model, config = read_detector(folder)
        if form == ONNX:
            names = [GRAPH, PROGRAM]
            write_graph(model, config.recipe, temporary / GRAPH, graph_facts(read_config(folder), config), images)
            (temporary / PROGRAM).write_text(RUN, encoding="utf-8")
        else:
            framework = find_framework(form)
            names = [framework.weights_file, framework.config_file]
            _write(folder, model, config, framework, temporary, out)
        (temporary / LABELS).write_text(_labels(config), encoding="utf-8")
    return [out / name for name in (*names, LABELS)]


def _batch(batch: int | str | None, form: str) -> int | None:
    """Return the batch as `write_graph` takes it."""
    if batch is None:
        return 0
    if form != ONNX:
        raise OptionValueError(f"batch={batch!r} is for a graph in ONNX; {form} takes any number of images.")
    if batch == "dynamic":
        return None
    if not str(batch).isdecimal() or not 1 <= int(batch) <= MAX_BATCH:
        raise OptionValueError(f"batch={batch!r} is neither 'dynamic' nor a number from 1 to {MAX_BATCH:,}.")
    return int(batch)


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
