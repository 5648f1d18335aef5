"""The folder of a fine-tuned detector: found in a run, and loaded."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from adept_hub.arguments.calls import checked
from adept_hub.checkpoint.folder import CONFIG, read_config, read_tensors
from adept_hub.checkpoint.validate_config import check_format
from adept_hub.convert.regressor import without_regressor
from adept_hub.detectors.build import detector_options, predictor_state, use_classifier
from adept_hub.detectors.files import DETECTOR, check_detector, read_detector_json, read_predictors
from adept_hub.detectors.recipe import DetectorRecipe
from adept_hub.errors import CheckpointError, SourceError
from adept_hub.io.paths import expanded, is_file
from adept_hub.io.schema import from_dict
from adept_hub.models import DetectorParts, assemble_detector
from adept_hub.spec import FORMAT_VERSION, PARTS


@dataclass(frozen=True)
class DetectorConfig:
    """Contents of detector.json: everything beyond the four parts, and the class names."""

    source: str
    classes: tuple[str, ...]
    recipe: DetectorRecipe
    iterations: int
    metrics: dict[str, float | None]
    format_version: int = FORMAT_VERSION
    #: SHA-256 of predictors.safetensors as written.
    predictors_sha256: str = ""
    predictors_size: int = 0


def is_detector(folder: Path) -> bool:
    """Check whether a folder contains a detector with its predictors."""
    return is_file(folder / DETECTOR) and is_file(folder / CONFIG)


def find_detector(run: str) -> Path | None:
    """Return the detector of a run folder (the best, else the last) or of a detector folder, or None."""
    path = expanded(run.removeprefix("local-dir:"), SourceError)
    return next((p for p in (path / "best", path / "last", path) if is_detector(p)), None)


@checked
def read_detector(folder: Path) -> tuple[GeneralizedRCNN, DetectorConfig]:
    """Load a detector in evaluation mode from the folder that a fine-tuning wrote; its losses are torchvision's.

    Raises:
        CheckpointError: a file is missing or damaged.
    """
    content = read_detector_json(folder)
    check_format(content, str(folder / DETECTOR))
    checkpoint = read_config(folder)
    config = from_dict(DetectorConfig, content, str(folder / DETECTOR))
    config = replace(config, recipe=config.recipe.with_anchors(checkpoint.spec))
    check_detector(str(folder / DETECTOR), config.classes, config.recipe, config.iterations)
    if lacking := [part for part in PARTS if part not in checkpoint.parts]:
        raise CheckpointError(
            f"{folder} has predictors, but no {' and no '.join(lacking)}: the detector is incomplete.\n"
            "Give a folder that adept finetune wrote (RUN, RUN/best or RUN/last)."
        )
    parts = DetectorParts(checkpoint.spec)
    parts.load_state_dict(without_regressor(read_tensors(folder, checkpoint)))
    classes = len(config.classes)
    model = assemble_detector(
        parts, classes + 1, config.recipe.detector, checkpoint.preprocessing, **detector_options(config.recipe)
    )
    use_classifier(model, config.recipe, classes)
    expected = predictor_state(model)
    predictors = read_predictors(folder, expected, config.predictors_sha256, config.predictors_size)
    model.roi_heads.load_state_dict({**model.roi_heads.state_dict(), **predictors})
    return cast(GeneralizedRCNN, model.eval()), config
