"""How weights were trained: with labels, without, or without but from a start that was trained with them."""

from __future__ import annotations

from typing import Literal

from adept_hub.spec import DETECTORS, METHODS, CheckpointConfig

Kind = Literal["fine-tuned", "supervised", "self-supervised"]


def kind_of(config: CheckpointConfig) -> Kind | None:
    """Return how the weights themselves were trained, whatever they started from; None: unknown."""
    if is_fine_tuned(config):
        return "fine-tuned"
    labeled = config.provenance.labeled
    if labeled is None:
        return None
    return "supervised" if labeled and not labels_in_start(config) else "self-supervised"


def is_fine_tuned(config: CheckpointConfig) -> bool:
    """Check for the parts of a detector that ``adept finetune`` trained, whose recipe is that of a detector."""
    return config.provenance.labeled is True and config.provenance.recipe.get("detector") in DETECTORS


def labels_in_start(config: CheckpointConfig) -> bool:
    """Check for pre-training without labels from a start that labels had been used for.

    Only the recipe of a pre-training, which has a section ``method``, with the network that it left is evidence of it:
    a model that was saved from memory may have the method, and the recipe of its start, for weights that the user
    trained with labels.
    """
    p = config.provenance
    recipe = p.method in METHODS and isinstance(p.recipe.get("method"), dict)
    return p.labeled is True and recipe and p.exported_network != "none" and bool(p.starts)
