"""A run is resumed with the very settings and labels that it began with; what only makes it faster may change.

Every field of both recipes is changed in turn, so that a new one has to be decided on.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from adept_training.finetuning.digests import labels_digest, recipe_digest
from adept_training.finetuning.recipe import load_finetune_recipe
from adept_training.finetuning.samples import LabeledSamples
from adept_training.pretraining.origin import recipe_digest as pretraining_digest
from adept_training.pretraining.recipe import load_recipe
from tests.training.made import image, split

#: Settings that a session may change.
FREE_FINETUNE = {"engine.workers", "engine.threads", "engine.checkpoint_minutes", "engine.keep", "engine.log_every",
                 "engine.evaluations"}  # fmt: skip
FREE_PRETRAIN = {
    "data.workers", "data.cache_gb", "engine.threads", "engine.checkpoint_minutes", "engine.keep", "engine.log_every",
    "engine.probe_every", "engine.max_minutes", "engine.collapse_spread", "engine.collapse_after",
}  # fmt: skip


def other(value: Any) -> Any:
    """Return a value of the same kind that differs."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, tuple):
        return (*value[:-1], other(value[-1])) if value else (1,)
    return {int: lambda: value + 1, float: lambda: value + 0.25, str: lambda: f"{value}x"}.get(
        type(value), lambda: 1.5
    )()


def changed(recipe: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the name of each field and the recipe in which it alone has another value."""
    for field in dataclasses.fields(recipe):
        value, name = getattr(recipe, field.name), f"{prefix}{field.name}"
        if dataclasses.is_dataclass(value):
            for inner, section in changed(value, f"{name}."):
                yield inner, with_value(recipe, field.name, section)
        else:
            yield name, with_value(recipe, field.name, other(value))


def with_value(recipe: Any, name: str, value: Any) -> Any:
    """Return a copy without the recipe's own checks of what goes with what."""
    copy = object.__new__(type(recipe))
    copy.__dict__.update({**vars(recipe), name: value})
    return copy


def test_every_setting_of_a_fine_tuning_that_changes_its_weights_is_in_the_digest() -> None:
    recipe = load_finetune_recipe()
    found = {name: recipe_digest(one) == recipe_digest(recipe) for name, one in changed(recipe)}
    assert len(found) > 30
    assert {name for name, same in found.items() if same} == FREE_FINETUNE


@pytest.mark.parametrize("name", [None, "own_photos_detection"])
def test_every_setting_of_a_pre_training_that_changes_its_weights_is_in_the_digest(name: str | None) -> None:
    recipe = load_recipe(name)
    found = {field: pretraining_digest(one) == pretraining_digest(recipe) for field, one in changed(recipe)}
    assert len(found) > 60
    same = {field for field, same in found.items() if same}
    export = {field for field in found if field.startswith("export.")}
    unused = set() if name else {field for field in found if field.startswith("method.detection.")}
    assert same == FREE_PRETRAIN | export | unused


@pytest.mark.parametrize("what", ["boxes_M4", "labels_M", "key", "order", "fewer"])
def test_the_digest_of_labels_follows_each_of_them(what: str) -> None:
    images = [image(str(i), [[4.0, 4, 20, 24], [1, 2, 9, 9]], [1, 2]) for i in range(3)]
    plain = labels_digest(LabeledSamples.of(split(*images), False, 0.0, 0))
    assert plain == labels_digest(LabeledSamples.of(split(*images), False, 0.5, 7)), "of the labels alone"
    last = images[2]
    if what == "boxes_M4":
        images[2] = dataclasses.replace(last, boxes_M4=last.boxes_M4 + np.float32(0.5))
    elif what == "labels_M":
        images[2] = dataclasses.replace(last, labels_M=last.labels_M[::-1].copy())
    elif what == "key":
        images[2] = dataclasses.replace(last, key=last.key._replace(id="other"))
    elif what == "order":
        images = images[::-1]
    else:
        images = images[:2]
    assert labels_digest(LabeledSamples.of(split(*images), False, 0.0, 0)) != plain
