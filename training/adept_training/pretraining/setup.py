"""The model and the samples that a recipe's method needs."""

from __future__ import annotations

from typing import Any

import torch
from lightning_fabric import Fabric

from adept_hub.errors import RecipeError
from adept_hub.spec import Preprocessing
from adept_training.data.cache import PixelCache
from adept_training.data.detector_view import DetectorSamples
from adept_training.data.loader import BoxTable, ImageSamples, Order, Samples, Steps, make_loader
from adept_training.images import ImageSource
from adept_training.method.adept import Adept
from adept_training.method.detection import Detection
from adept_training.method.model import PretrainModel
from adept_training.method.pseudo_classes.labels import label_boxes
from adept_training.pretraining.recipe import Recipe
from adept_training.runtime.journal import Journal
from adept_training.runtime.progress import track
from adept_training.runtime.workers import plain_errors

#: Boxes on which a teacher's features are measured, at least, if the images have as many.
_FITTED_BOXES = 8192


def make_model(recipe: Recipe, images: int, preprocessing: Preprocessing) -> PretrainModel:
    """Create the networks of a recipe's method for a number of training images, with values of torch's seed."""
    if recipe.method.name == "detection":
        count, side = recipe.views.boxes, recipe.views.sizes[0]
        return Detection(recipe.model, recipe.method, images, count, side, preprocessing)
    return Adept(recipe.model, recipe.method, recipe.views.sizes, preprocessing)


def make_samples(
    recipe: Recipe, source: ImageSource, table: BoxTable, keys: list[str], cache: PixelCache | None
) -> ImageSamples[Any]:
    """Create the samples of a recipe's method."""
    kind = DetectorSamples if recipe.method.name == "detection" else Samples
    return kind(source, table, tuple(keys), recipe.views, recipe.colors, recipe.engine.seed, cache)


def fit_teacher(
    model: PretrainModel, samples: ImageSamples[Any], recipe: Recipe, fabric: Fabric, journal: Journal, order: Order
) -> None:
    """Measure how a frozen teacher's features are whitened, on the boxes of a new run's first steps.

    The first process measures for all; a resumed run has the result in its state.

    Raises:
        RecipeError: there are not more boxes than dimensions of the targets.
    """
    if not isinstance(model, Adept) or (teacher := model.teacher) is None:
        return
    model.train()
    if fabric.is_global_zero:
        steps = min(-(-_FITTED_BOXES // (order.batch_size * recipe.views.boxes)), order.steps_per_epoch)
        loader = make_loader(samples, Steps(order, 0, steps), recipe.data.workers)
        with plain_errors():
            batches = track(loader, steps, "measuring the teacher's features", " batches")
            features_BD = torch.cat([model.teacher_features(fabric.to_device(batch)).cpu() for batch in batches])
        count, dim = len(features_BD), recipe.method.projection
        if count <= dim:
            raise RecipeError(
                f"The first pass over the images has {count} boxes, too few for targets of {dim} dimensions.\n"
                f"Use fewer: --set method.projection={max(count // 4, 1)}"
            )
        teacher.fit(features_BD)
        journal.say(f"targets: {dim} whitened components of C4 and C5, of {count} boxes")
        journal.record("teacher", step=0, boxes=count, dimensions=dim)
    for buffer in (teacher.mean_D, teacher.whitening_DE):
        buffer.copy_(fabric.broadcast(buffer))


def set_pseudo_classes(
    model: PretrainModel, samples: ImageSamples[Any], recipe: Recipe, fabric: Fabric, journal: Journal
) -> None:
    """Give the boxes of a new run their pseudo-classes, in a method that has them; a resumed run has them already.

    The first process computes them for all.

    Raises:
        RecipeError: there are fewer boxes than classes.
    """
    classes = recipe.method.detection.pseudo_classes
    if not isinstance(model, Detection) or not isinstance(samples, DetectorSamples) or classes == 1:
        return
    labels_IK = None
    if fabric.is_global_zero:
        journal.say(f"sorting the boxes of {len(samples.keys)} images into {classes} pseudo-classes")
        with plain_errors():
            labels_IK, counts = label_boxes(samples, classes, recipe.data.workers)
        journal.record("pseudo_classes", step=0, counts=counts)
    model.classes_IK.copy_(torch.from_numpy(fabric.broadcast(labels_IK)))
