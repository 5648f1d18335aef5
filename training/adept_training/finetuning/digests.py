"""Digests of the recipe and the labels, which must not change for a fine-tuning run to be resumed."""

from __future__ import annotations

import hashlib
import json

from adept_hub.io.schema import to_dict
from adept_training.finetuning.recipe import FinetuneRecipe
from adept_training.finetuning.samples import LabeledSamples


def recipe_digest(recipe: FinetuneRecipe) -> str:
    """Return a digest of the settings that change the weights; settings of speed may differ between sessions."""
    data = to_dict(recipe)
    data["engine"] = {k: data["engine"][k] for k in ("batch_size", "seed", "precision", "flip")}
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def labels_digest(samples: LabeledSamples) -> str:
    """Return a digest of the keys, boxes (pixels of the original image) and labels of the images."""
    rows = [(image.key, image.boxes_M4.tolist(), image.labels_M.tolist()) for image in samples.images]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()
