"""A fine-tuned detector, predictors included, in another framework's own format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal, get_args

import torch
from safetensors.torch import save_file

from adept_hub.atomic import atomic_file
from adept_hub.checkpoint import read_config, read_tensors
from adept_hub.convert.export import FILES, wrapped, write_export
from adept_hub.convert.finetuned import convert_detector
from adept_hub.convert.options import Framework, Target
from adept_hub.errors import OutputExistsError, UnsupportedDetectorError
from adept_hub.schema import to_dict
from adept_training.downstream.deploy_config import finished_config
from adept_training.downstream.detector import DetectorConfig, load_detector
from adept_training.downstream.onnx_graph import write_graph

Format = Literal["torchvision", "detectron2", "mmdet", "onnx"]
FORMATS: tuple[str, ...] = get_args(Format)
GRAPH, LABELS = "model.onnx", "classes.json"


def deploy(folder: Path, form: Format, out: Path) -> list[Path]:
    """Write a fine-tuned detector for a framework: all its weights, and the config that agrees with them.

    Args:
        folder: of `adept_training.downstream.detector.save_detector`.
        form: one of `FORMATS`.
        out: the folder to write; must not exist, or be empty.

    Returns:
        The weights, the config (ONNX has none) and classes.json: the classes in order, and how the detector was made.

    Raises:
        UnsupportedDetectorError: a cosine classifier for Detectron2 or MMDetection, which have none; an unknown format.
        MissingExtraError: the packages for ONNX are not installed.
        OutputExistsError, DiskFullError: about ``out``. CheckpointError: about ``folder``.
    """
    if form not in FORMATS:
        raise UnsupportedDetectorError(f"Unknown framework {form!r}.\nKnown: {', '.join(FORMATS)}.")
    model, config = load_detector(folder)
    if form == "onnx":
        if out.is_dir() and any(out.iterdir()):
            raise OutputExistsError(f"{out} is not empty.\nChoose another --out, or remove it.")
        write_graph(model, config.recipe, out / GRAPH)
        return [out / GRAPH, _labels(out, config)]
    if form != "torchvision" and config.recipe.classifier != "linear":
        raise UnsupportedDetectorError(
            f"{folder} has a {config.recipe.classifier} classifier, which stock {form} has not.\n"
            f"With it: adept deploy {folder} --to torchvision. Its four pre-trained parts: adept export {folder}"
        )
    checkpoint = read_config(folder)
    detector = config.recipe.detector
    target = Target(detector=detector, num_classes=len(config.classes) + 1)
    weights, text = write_export(read_tensors(folder, checkpoint), checkpoint, form, out, target)
    state = model.state_dict()
    if form != "torchvision":
        state = convert_detector(state, "torchvision", form, detector)
    _rewrite(weights, form, {key: tensor.detach().clone().contiguous() for key, tensor in state.items()}, config)
    with atomic_file(text) as temporary:
        temporary.write_text(finished_config(form, text.read_text(encoding="utf-8"), config), encoding="utf-8")
    return [weights, text, _labels(out, config)]


def _rewrite(path: Path, framework: Framework, state: dict[str, torch.Tensor], config: DetectorConfig) -> None:
    """The whole detector's tensors in place of its four parts'."""
    assert path.name == FILES[framework][0]
    with atomic_file(path) as temporary:
        if framework == "torchvision":
            save_file(state, temporary, metadata={"format": "pt"})
            return
        content = wrapped(state, framework)
        if framework == "mmdet":  # what MMDetection writes beside the results of its inference
            content["meta"] = {"dataset_meta": {"classes": list(config.classes)}}
        torch.save(content, temporary)


def _labels(out: Path, config: DetectorConfig) -> Path:
    path = out / LABELS
    with atomic_file(path) as temporary:
        content = {"classes": config.classes, "detector": to_dict(config.recipe)}
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return path
