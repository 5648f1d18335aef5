"""Arguments of the calls: sections of a recipe, the recipe of a resumed run, and labeled images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

from adept_hub.io.paths import is_file


class PretrainSections(TypedDict, total=False):
    """Sections of a pre-training recipe; ``method`` is a parameter of `pretrain` itself."""

    data: Mapping[str, Any]
    views: Mapping[str, Any]
    colors: Mapping[str, Any]
    optimizer: Mapping[str, Any]
    schedule: Mapping[str, Any]
    export: Mapping[str, Any]
    engine: Mapping[str, Any]
    model: Mapping[str, Any]


class FinetuneSections(TypedDict, total=False):
    """Sections of a fine-tuning recipe."""

    detector: Mapping[str, Any]
    optimizer: Mapping[str, Any]
    schedule: Mapping[str, Any]
    norms: Mapping[str, Any]
    engine: Mapping[str, Any]
    self_training: Mapping[str, Any]


def recipe_of(recipe: str | Path | None, folder: Path, resume: bool) -> str | Path | None:
    """Return the recipe; a resumed run without one continues with its own."""
    own = folder / "recipe.yaml"
    return own if resume and recipe is None and is_file(own) else recipe


def data_words(data: str | Path | Sequence[str]) -> str | Path | list[str]:
    """Return labeled images as `adept_training.labels.datasets.open_data` takes them."""
    return data if isinstance(data, str | Path) else list(data)
