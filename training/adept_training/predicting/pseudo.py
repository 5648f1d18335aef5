"""Detections as labels for a second round of training: a COCO file that records which model they are from.

Legend: D detections of one image.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as mask_api

from adept_hub.checkpoint.folder import read_config
from adept_hub.detectors.folder import find_detector
from adept_hub.detectors.image_detections import ImageDetections
from adept_hub.detectors.predictor import Predictor
from adept_hub.detectors.torch_predictor import TorchPredictor
from adept_hub.errors import ImagesError, SourceError
from adept_hub.images.files import name_of
from adept_hub.words.command_line import command_line
from adept_training.images import ImageSource
from adept_training.images.sources import FileImages
from adept_training.labels.objects import LONGEST
from adept_training.predicting.formats import as_coco

PSEUDO = "pseudo.json"
#: Minimum score of a pseudo-label unless one is given (Unbiased Teacher, arXiv 2102.09480).
PSEUDO_SCORE = 0.7


@dataclass(frozen=True)
class PseudoLabels:
    """Names of the images in the labels' file, relative to a folder that contains them all."""

    folder: Path
    names: dict[str, str]
    score: float
    command: str = ""

    @classmethod
    def of(cls, predictors: Sequence[Predictor], source: ImageSource, score: float, command: str = "") -> PseudoLabels:
        """Check that detections can become labels.

        Args:
            score: minimum score of a detection; ``command``: command line, which the file records.

        Raises:
            SourceError: there are several predictors, or one without classes.
            ImagesError: the images are not files.
        """
        if len(predictors) != 1:
            raise SourceError(
                "Pseudo-labels are those of one detector.\nGive one: adept predict RUN IMAGES --pseudo --out DIR"
            )
        (predictor,) = predictors
        if isinstance(predictor, TorchPredictor) and predictor.regions:
            name = predictor.name
            tune = command_line("finetune", name, "--data", "DATA", "--out", "runs/mine")
            raise SourceError(f"{name} has no classes yet, so it cannot label images.\nFine-tune it first: {tune}")
        if not isinstance(source, FileImages):
            raise ImagesError(
                "Pseudo-labels need image files, which a COCO file can name.\nGive a folder, or a text file of paths."
            )
        keys, root = source.keys(), Path.cwd() / source.root
        paths = {key: Path(os.path.normpath(root / name_of(key))) for key in keys}
        folder = Path(os.path.commonpath([path.parent for path in paths.values()]))
        return cls(folder, {key: path.relative_to(folder).as_posix() for key, path in paths.items()}, score, command)

    def content(self, results: Sequence[ImageDetections], predictor: Predictor) -> dict[str, Any]:
        """Return the COCO file: what `adept data check` finds nothing wrong with, and ``info`` on its origin."""
        named = [replace(_sound(one), image=self.names[one.image]) for one in results]
        return {"info": self._info(predictor), **as_coco(named, predictor.classes)}

    def next_round(self, source: str, out: Path) -> str:
        """Return the command that trains on the labels in ``out``."""
        data = f"coco:{out / PSEUDO}:{self.folder}"
        return command_line("finetune", source, "--data", data, "--out", "runs/second")

    def _info(self, predictor: Predictor) -> dict[str, Any]:
        folder = find_detector(predictor.name)
        config = None if folder is None else read_config(folder)
        return {
            "description": "Pseudo-labels: predicted by a model, not annotated by people.",
            "pseudo_labels": {
                "source": predictor.name, "weights_sha256": config.sha256 if config else "",
                "license": config.license if config else "", "score": self.score, "command": self.command,
            },
        }  # fmt: skip


def _sound(one: ImageDetections) -> ImageDetections:
    """Return the detections that are valid labels: at least a pixel wide, not too long, with pixels in their mask."""
    sizes_D2 = np.maximum(one.boxes_D4[:, 2:] - one.boxes_D4[:, :2], 0)
    keep_D = (sizes_D2.min(axis=1, initial=np.inf) >= 1) & (
        sizes_D2.max(axis=1, initial=0) <= LONGEST * sizes_D2.min(axis=1, initial=np.inf)
    )
    if one.masks is not None:
        keep_D &= np.array([mask_api.area(mask) > 0 for mask in one.masks], np.bool_)
    masks = None if one.masks is None else tuple(mask for mask, keep in zip(one.masks, keep_D, strict=True) if keep)
    return ImageDetections(
        one.boxes_D4[keep_D], one.scores_D[keep_D], one.labels_D[keep_D], masks, one.image, one.pixels_HW3, one.classes
    )  # fmt: skip
