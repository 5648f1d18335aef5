"""Check everything cheap before the first proposal is searched or the first step taken."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from adept_hub.errors import ImagesError, OutputExistsError, RecipeError, ResumeError
from adept_training.data.cache import check_bytes, side_of
from adept_training.pretraining.misplaced import DETECTION_RECIPE
from adept_training.pretraining.origin import PretrainStart, open_pretrain_start
from adept_training.pretraining.recipe import Recipe, load_recipe
from adept_training.pretraining.watch.probe import split_keys
from adept_training.runtime.launch import check_precision, processes
from adept_training.runtime.state import saved_states

#: Bundled recipes to suggest if the given one does not fit: for minutes on a CPU, and for a GPU and `_LARGE` images.
SMALL_SET, LARGE_SET = "own_photos_cpu", "adept_joint_r50_1gpu"
_LARGE = 2000


def check_run(
    recipe: Recipe,
    keys: Sequence[str],
    folder: Path,
    *,
    init: Path | None,
    resume: bool,
    license: str = "unstated",  # its name everywhere
    relicense: bool = False,
) -> PretrainStart:
    """Check that a run can begin and can write its checkpoint; return its starting point.

    Args:
        recipe: the whole configuration.
        keys: keys of all images.
        folder: folder of the run.
        init: a checkpoint folder to start from.
        resume: whether the run in ``folder`` is continued.
        license: requested license of the weights.
        relicense: claim the right to grant a license that may be less restrictive.

    Raises:
        OutputExistsError: ``folder`` contains a run and ``resume`` is false.
        ResumeError: there is nothing to resume.
        RecipeError: too few images for a batch, a batch that the processes cannot share, a precision that the device
            lacks, or separate training without ``init``, or with one that lacks a part or is of another architecture.
        LicenseError: the license is more permissive than that of ``init``.
        ImagesError: there are no images.
    """
    check_folder(folder, resume)
    check_precision(recipe.engine.precision)
    origin = open_pretrain_start(recipe, init, folder, resume=resume, license=license, relicense=relicense)
    training, _ = split_keys(list(keys), recipe.data.held_out)
    check_sizes(recipe, len(training), processes(), keep_model=init is not None)
    return origin


def check_folder(folder: Path, resume: bool) -> None:
    """Check that the folder has no run yet, or one to resume."""
    begun = bool(saved_states(folder / "checkpoints"))
    if begun and not resume:
        raise OutputExistsError(
            f"{folder} already contains a run.\nContinue it with --resume, or choose another --out."
        )
    if resume and not begun:
        raise ResumeError(
            f"There is no checkpoint in {folder / 'checkpoints'} to continue from.\nStart the run without --resume."
        )


def check_sizes(recipe: Recipe, images: int, count: int, *, keep_model: bool = False) -> None:
    """Check that the images fill a batch, that the processes can share it, and that the cache is within its limit."""
    batch = recipe.engine.batch_size
    if batch % count:
        raise RecipeError(
            f"engine.batch_size {batch} is not a multiple of the {count} processes.\n"
            f"Change it: --set engine.batch_size={max(batch // count, 1) * count}"
        )
    if images == 0:
        raise ImagesError("There are no images to train on.")
    if images < batch:
        remedy = _smaller(recipe, images, count, keep_model)
        raise RecipeError(f"{images} images do not fill one batch of {batch}.\n{remedy}")
    if recipe.data.cache:
        check_bytes(images, side_of(recipe.views.sizes), recipe.data.cache_gb)


def _smaller(recipe: Recipe, images: int, count: int, keep_model: bool) -> str:
    """Suggest a fix for too few images: a recipe for small sets, a smaller batch, or more images."""
    least = 2 * count
    if images < least:
        return f"Batch norm needs at least two in each process: give {least} images or more."
    fits = max(images // 4, least) // count * count  # four steps per epoch, if there are as many images
    detection = recipe.method.name == "detection"
    name = LARGE_SET if torch.cuda.is_available() and images >= _LARGE else SMALL_SET
    name = DETECTION_RECIPE if detection else name
    small = load_recipe(name).engine.batch_size
    if (
        keep_model or recipe.engine.batch_size <= small
    ):  # a start fixes the architecture, or it is such a recipe already
        return f"Lower it: --set engine.batch_size={fits}"
    method = "" if recipe.method.name == "adept_joint" or detection else f" --method {recipe.method.name}"
    lower = "" if small <= images and small % count == 0 else f" --set engine.batch_size={fits}"
    return f"Use a recipe for sets of this size: --recipe {name}{method}{lower}"
