"""Digests of the recipe and the labels, which must not change for a fine-tuning run to be resumed."""

from __future__ import annotations

import hashlib
import json
from typing import Any, cast

from adept_hub.io.schema import to_dict
from adept_training.finetuning.recipe import FinetuneRecipe
from adept_training.finetuning.samples import LabeledSamples

#: Settings that a recipe did not have at first: at their defaults they do not change the digests of older runs.
_LATER = (("engine", "augment"), ("optimizer", "freeze"), ("self_training", None))


def settings_for_digest(recipe: FinetuneRecipe) -> dict[str, Any]:
    """Return the settings of a recipe by section, without later ones that have their defaults."""
    data, default = to_dict(recipe), to_dict(FinetuneRecipe())
    for section, name in _LATER:
        if name is None:
            if data[section] == default[section]:
                del data[section]
        elif data[section][name] == default[section][name]:
            del data[section][name]
    return cast("dict[str, Any]", data)


def recipe_digest(recipe: FinetuneRecipe) -> str:
    """Return a digest of the settings that change the weights; settings of speed may differ between sessions."""
    data = settings_for_digest(recipe)
    names = ("batch_size", "seed", "precision", "flip", "augment")
    data["engine"] = {k: data["engine"][k] for k in names if k in data["engine"]}
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def labels_digest(samples: LabeledSamples) -> str:
    """Return a digest of the keys, boxes (pixels of the original image) and labels of the images."""
    rows = [(image.key, image.boxes_M4.tolist(), image.labels_M.tolist()) for image in samples.images]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()
