"""Refuse settings of another method or objective than the recipe's: they would change nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adept_hub.errors import RecipeError
from adept_hub.io.schema import to_dict
from adept_training.method.recipe import DetectionRecipe, MethodRecipe
from adept_training.runtime.recipe_files import flatten

if TYPE_CHECKING:
    from adept_training.pretraining.recipe import Recipe

#: The bundled recipe of the method without a contrast.
DETECTION_RECIPE = "own_photos_detection"

#: Settings of some objectives only.
_OBJECTIVES_OF = {
    "temperature": ("infonce", "prototypes"), "queue": ("infonce", "prototypes"), "same_image_negatives": ("infonce",),
    "drop_similar": ("infonce",), "prototypes": ("prototypes",), "prototype_epsilon": ("prototypes",),
}  # fmt: skip

#: Settings of contrasts, of three views, or of an RPN that is kept apart: detection has none of them.
_NOT_OF_DETECTION = (
    "method.head_mode", "method.boxes", "method.objective", *(f"method.{name}" for name in _OBJECTIVES_OF),
    "method.projector_hidden", "method.projection", "method.projector_norm", "method.momentum",
    "method.momentum_bound", "method.target_pass", "method.rpn.views", "method.rpn.reaches_backbone",
    "views.best", "views.v3_mode", "views.box_sets", "views.jitter_prob", "views.jitter_ratio", "views.max_tries",
    "colors.cutout_prob",
)  # fmt: skip


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
