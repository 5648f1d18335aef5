"""Refuse settings that exclude each other, or that would change nothing, before anything is read or trained."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from adept_hub.checkpoint.validate_config import LICENSE, check_config
from adept_hub.errors import CheckpointError, RecipeError
from adept_hub.io.schema import to_dict
from adept_hub.names import is_name
from adept_hub.spec import CheckpointConfig, Provenance
from adept_training.method.recipe import DetectionRecipe, MethodRecipe
from adept_training.runtime.recipe_files import flatten

if TYPE_CHECKING:
    from adept_training.pretraining.recipe import Recipe

#: The bundled recipe of the method without a contrast.
DETECTION_RECIPE = "own_photos_detection"

#: The bundled recipe of a frozen teacher.
TEACHER_RECIPE = "own_photos_teacher"

#: Settings of a moving average.
_OF_AVERAGES = ("momentum", "momentum_bound", "target_pass")

#: Settings of some objectives only.
_OBJECTIVES_OF = {
    "temperature": ("infonce", "prototypes"), "queue": ("infonce", "prototypes"), "same_image_negatives": ("infonce",),
    "drop_similar": ("infonce",), "prototypes": ("prototypes",), "prototype_epsilon": ("prototypes",),
}  # fmt: skip

#: Settings of contrasts, of three views, or of an RPN that is kept apart: detection has none of them.
_NOT_OF_DETECTION = (
    "method.head_mode", "method.boxes", "method.objective", *(f"method.{name}" for name in _OBJECTIVES_OF),
    "method.teacher", "method.projector_hidden", "method.projection", "method.projector_norm", "method.momentum",
    "method.momentum_bound", "method.target_pass", "method.rpn.views", "method.rpn.reaches_backbone",
    "views.best", "views.v3_mode", "views.box_sets", "views.jitter_prob", "views.jitter_ratio", "views.max_tries",
    "colors.cutout_prob",
)  # fmt: skip


def check(recipe: Recipe) -> None:
    """Check values that are each valid but exclude each other.

    Raises:
        RecipeError: names them, and a combination that works.
    """
    engine, views = recipe.engine, recipe.views
    if engine.batch_size < 2:
        raise RecipeError("engine.batch_size is 1: batch norm needs at least two images per step.")
    if 0 < views.best < views.boxes:
        raise RecipeError(
            f"views.boxes {views.boxes} are drawn from the first views.best {views.best}: there are fewer.\n"
            f"Draw fewer: --set views.boxes={views.best}"
        )
    if min(views.sizes) < 32:
        raise RecipeError(f"views.sizes {views.sizes}: a view needs at least 32 pixels per side, P5's stride.")
    if recipe.schedule.warmup_epochs >= recipe.schedule.epochs:
        raise RecipeError(
            f"schedule.warmup_epochs ({recipe.schedule.warmup_epochs:g}) must be below schedule.epochs "
            f"({recipe.schedule.epochs:g})."
        )
    check_misplaced(recipe)
    optimizer = recipe.optimizer
    if optimizer.rpn_lr is not None and optimizer.lr_scale.rpn != 1.0:
        raise RecipeError(
            f"optimizer.rpn_lr is the RPN's own rate, so optimizer.lr_scale.rpn={optimizer.lr_scale.rpn:g} would "
            "change nothing.\nUse one of them: --set optimizer.rpn_lr=null, or --set optimizer.lr_scale.rpn=1"
        )
    if recipe.method.boxes == "ss+rpn" and not (recipe.method.trains_rpn and recipe.method.contrasts):
        raise RecipeError(f"method.boxes 'ss+rpn' needs an RPN and a contrast; {recipe.method.name} has not both.")
    if not is_name(f"name.{recipe.export.tag}"):
        raise RecipeError(
            f"export.tag is {recipe.export.tag!r}, but a tag is lower-case letters, digits and underscores, as in "
            "adept_joint_r50_fpn.my_photos."
        )
    if not LICENSE.fullmatch(recipe.export.license):
        raise RecipeError(
            f"export.license is {recipe.export.license!r}, which is not a license identifier.\n"
            "Give one (apache-2.0, cc-by-4.0, ...) or leave it 'unstated'."
        )
    for sizes, name in (
        (recipe.model.anchors.sizes, "model.anchors.sizes"),
        (recipe.model.levels.upper, "model.levels.upper"),
    ):
        if len(sizes) != 4:
            raise RecipeError(f"{name} has {len(sizes)} values; P2-P5 need four.")
    for value, default, name in (
        (recipe.model.pooling, "aligned", "model.pooling"),
        (recipe.model.anchors.generator, "exact", "model.anchors.generator"),
    ):
        if value != default:
            raise RecipeError(f"{name} is {value}, which pre-training does not support.\n--set {name}={default}")
    for (least, most), name in (
        (views.crop_scale, "views.crop_scale"),
        (views.crop_ratio, "views.crop_ratio"),
        (recipe.colors.blur_sigma, "colors.blur_sigma"),
        (recipe.colors.cutout_ratio, "colors.cutout_ratio"),
        ((recipe.method.rpn.negative_iou, recipe.method.rpn.positive_iou), "method.rpn.negative_iou, positive_iou"),
    ):
        if least > most:
            raise RecipeError(f"{name}: {least:g} is more than {most:g}; the lesser comes first.")
    _check_export(recipe)


def _check_export(recipe: Recipe) -> None:
    """Check before training what the checkpoint's config would reject after it."""
    provenance = Provenance(
        recipe.method.name, recipe.export.data, 0, 0.0, recipe.export.network, recipe=to_dict(recipe)
    )  # fmt: skip
    config = CheckpointConfig(
        name=f"{recipe.method.name}.{recipe.export.tag}", spec=recipe.model, provenance=provenance,
        license=recipe.export.license, sha256="0" * 64, size=1 << 20, parts=recipe.method.parts,
    )  # fmt: skip
    try:
        check_config(config, "the checkpoint that the run would leave")
    except CheckpointError as error:
        why = str(error).splitlines()[0]
        raise RecipeError(f"{why}\nChange the recipe's model or export section.") from error


def check_misplaced(recipe: Recipe) -> None:
    """Check that no setting of another method or objective differs from its default.

    Raises:
        RecipeError: names it, and a combination that works.
    """
    if recipe.method.name == "detection":
        _check_detection(recipe)
    elif recipe.method.detection != DetectionRecipe():
        raise RecipeError(
            f"method.detection has settings, but the method is {recipe.method.name}.\n"
            "Leave them out, or choose the method: --method detection"
        )
    _check_objective(recipe.method)
    _check_freeze(recipe.method)
    _check_teacher(recipe)


def check_length(recipe: Recipe, settings: Iterable[str]) -> None:
    """Refuse epochs that were asked for together with ``engine.max_steps``, which replaces them.

    Args:
        settings: ``section.field=value`` as given; in files both stand side by side, since a run writes its epochs too.

    Raises:
        RecipeError: names both, and what to leave out.
    """
    steps = recipe.engine.max_steps
    if steps is None:
        return
    for setting in settings:
        if setting.partition("=")[0] == "schedule.epochs":
            raise RecipeError(
                f"engine.max_steps is {steps} and sets the length of the run: {setting.strip()} would change nothing.\n"
                "Leave the epochs out, or the steps: --set engine.max_steps=null"
            )


def _check_freeze(method: MethodRecipe) -> None:
    if method.freeze != "none" and method.freezes:
        raise RecipeError(
            f"{method.name} freezes backbone, FPN and head already: method.freeze={method.freeze} would change "
            "nothing.\nLeave it out: --set method.freeze=none"
        )
    if method.freeze == "backbone" and method.name == "byol":
        raise RecipeError(
            "byol trains the backbone alone, and method.freeze=backbone leaves nothing to train.\n"
            "Freeze less, or use a method that trains more parts: --set method.freeze=stem"
        )


def _check_teacher(recipe: Recipe) -> None:
    method = recipe.method
    if method.teacher == "ema":
        return
    if method.name not in ("adept_joint", "soco"):
        raise RecipeError(
            f"method.teacher=frozen gives targets to the boxes of a contrast, and {method.name} has none.\n"
            "Leave it out, or choose a method that has one: --method adept_joint"
        )
    if method.objective != "cosine":
        raise RecipeError(
            f"method.teacher=frozen has targets without negatives, but method.objective is {method.objective}.\n"
            "Use the cosine: --set method.objective=cosine"
        )
    plain = MethodRecipe()
    if given := [name for name in _OF_AVERAGES if getattr(method, name) != getattr(plain, name)]:
        words = ", ".join(f"method.{name}" for name in given)
        raise RecipeError(
            f"method.teacher=frozen has no moving average: {words} would change nothing.\n"
            f"Leave {'it' if len(given) == 1 else 'them'} out, or use the recipe of a teacher: "
            f"--recipe {TEACHER_RECIPE}"
        )
    if method.projection > (most := sum(recipe.model.stage_channels[2:])):
        raise RecipeError(
            f"method.projection is {method.projection}, but C4 and C5 of a teacher have {most} channels.\n"
            f"Use fewer: --set method.projection={most // 4}"
        )


def _check_detection(recipe: Recipe) -> None:
    own, plain = flatten(to_dict(recipe)), flatten(to_dict(type(recipe)()))
    if given := [name for name in _NOT_OF_DETECTION if own[name] != plain[name]]:
        raise RecipeError(
            f"detection has one view and no contrast: {', '.join(given)} would change nothing.\n"
            f"Leave {'it' if len(given) == 1 else 'them'} out, or use the recipe of this method: "
            f"--recipe {DETECTION_RECIPE}"
        )


def _check_objective(method: MethodRecipe) -> None:
    if method.objective != "cosine" and not method.contrasts:
        raise RecipeError(
            f"method.objective is {method.objective}, but {method.name} trains the RPN alone, without a contrast.\n"
            "Leave it out: --set method.objective=cosine"
        )
    plain = MethodRecipe()
    for name, objectives in _OBJECTIVES_OF.items():
        if getattr(method, name) != getattr(plain, name) and method.objective not in objectives:
            raise RecipeError(
                f"method.{name} is for {' and '.join(objectives)}, and method.objective is {method.objective}.\n"
                f"Choose the objective that has it: --set method.objective={objectives[0]}"
            )
    if method.same_image_negatives and method.name == "byol":
        raise RecipeError(
            "method.same_image_negatives needs boxes, and byol contrasts whole images.\n"
            "Leave it out: --set method.same_image_negatives=false"
        )
