"""A run's whole configuration: frozen dataclasses, from YAML and ``--set``, and back to YAML."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from adept_hub.arguments.calls import checked
from adept_hub.checkpoint.validate_config import LICENSE, check_config
from adept_hub.errors import CheckpointError, RecipeError
from adept_hub.io.schema import Range, from_dict, to_dict
from adept_hub.names import is_name
from adept_hub.spec import CheckpointConfig, DetectorSpec, Provenance
from adept_training.data.photometric import PhotometricRecipe
from adept_training.data.views import ViewsRecipe
from adept_training.method.recipe import MethodRecipe
from adept_training.pretraining.misplaced import DETECTION_RECIPE, check_misplaced
from adept_training.runtime.recipe_files import read_recipe, recipe_folder, recipe_yaml, shipped

Rate = Annotated[float, Range(0.0, 1e4)]
Scale = Annotated[float, Range(0.0, 1e6, above=True)]
Minutes = Annotated[float, Range(0.0, 1e6)]
Steps = Annotated[int, Range(0, 1_000_000_000)]


@dataclass(frozen=True)
class DataRecipe:
    """Default source of the boxes, held-out images and the loader."""

    #: Preset of `adept proposals`.
    proposals: str = "paper"
    #: Loader processes.
    workers: Annotated[int, Range(0, 256)] = 4
    #: Images kept out of training for the RPN's recall: at most this many, and at most one in twenty.
    held_out: Annotated[int, Range(0, 1_000_000)] = 200
    #: Decode each image once into a file of squares in the run's folder, 1.15 times as large as the largest view, and
    #: cut the views on the device. The file is removed when the run has finished.
    cache: bool = False
    #: Largest size of that file in GB.
    cache_gb: Annotated[float, Range(0.0, 1e6)] = 20.0


@dataclass(frozen=True)
class OptimizerRecipe:
    """LARS as SoCo has it, or a plain optimizer of torch's."""

    #: Optimizer of everything but an RPN with ``rpn_lr``.
    name: Literal["lars", "sgd", "adamw"] = "lars"
    #: Peak learning rate, at a batch of 256 when ``lr_scaling`` is linear.
    lr: Rate = 0.1
    #: ``linear``: the rate is multiplied by the batch size / 256.
    lr_scaling: Literal["none", "linear"] = "none"
    #: Momentum of LARS and SGD, first beta of AdamW.
    momentum: Annotated[float, Range(0.0, 1.0, below=True)] = 0.9
    #: Not applied to biases and norms.
    weight_decay: Annotated[float, Range(0.0, 10.0)] = 1e-5
    #: LARS's trust coefficient.
    trust: Annotated[float, Range(0.0, 10.0, above=True)] = 0.001
    #: The RPN's own peak rate, by plain SGD with momentum; null: it is trained like the rest.
    rpn_lr: Annotated[float | None, Range(0.0, 1e4)] = None
    #: Multiples of the rate for backbone, FPN and RoI head, and for the predictor. In a short run the detector's
    #: features sink to a rank of two or three within 150 steps when both are 1, and keep theirs at 0.2 and 10.
    detector_lr_scale: Scale = 1.0
    #: Multiple of the rate for the predictor.
    predictor_lr_scale: Scale = 1.0
    #: Largest norm of the gradient; 0: not clipped.
    clip: Annotated[float, Range(0.0, 1e9)] = 0.0


@dataclass(frozen=True)
class ScheduleRecipe:
    """Linear warm-up, then half a cosine, both step by step."""

    #: Passes over the images.
    epochs: Scale = 100.0
    #: Epochs of linear warm-up.
    warmup_epochs: Annotated[float, Range(0.0, 1e6)] = 10.0
    #: The first step's rate as a fraction of the peak.
    warmup_start: Annotated[float, Range(0.0, 1.0)] = 0.01
    #: Rate at the end of the cosine.
    final_lr: Rate = 0.0


@dataclass(frozen=True)
class ExportRecipe:
    """The checkpoint folder that the run leaves."""

    #: The target network (paper) or the online one (SoCo); the RPN exists online only.
    network: Literal["target", "online"] = "target"
    #: float16 weights, half the size.
    half: bool = False
    #: What follows the dot in the name: what the weights were trained on, honestly.
    tag: str = "mine"
    #: In words, for the card.
    data: str = "your photographs"
    #: License of the weights, as an identifier of the Hub.
    license: str = "unstated"


@dataclass(frozen=True)
class EngineRecipe:
    """Execution of the run; only batch size, seed, precision and compile change the weights."""

    #: Images per step, over all processes.
    batch_size: Annotated[int, Range(1, 65_536)] = 1024
    #: ``auto``: bf16 on a GPU that has it; on a CPU, that of fp32 and bf16 which is faster when the run begins.
    precision: Literal["auto", "fp64", "fp32", "bf16", "fp16"] = "auto"
    #: Seed of everything random in the run.
    seed: Annotated[int, Range(0, 2**63 - 1)] = 0
    #: NHWC memory format.
    channels_last: bool = True
    #: torch.compile for the networks: for GPUs; slow to start, and of no use on a CPU.
    compile: bool = False
    #: Minutes between checkpoints.
    checkpoint_minutes: Minutes = 10.0
    #: Checkpoints that are kept.
    keep: Annotated[int, Range(1, 1000)] = 3
    #: Steps between lines of the log, and between probes of the held-out images (0: only first and last).
    log_every: Annotated[int, Range(1, 1_000_000_000)] = 10
    #: Steps between probes of the held-out images; 0: only first and last.
    probe_every: Steps = 500
    #: The run ends here at the latest. Learning rate and momentum then follow the clock where it is ahead of the
    #: steps, so that the schedule is complete; such a run cannot be repeated bit for bit.
    max_minutes: Annotated[float | None, Range(0.0, 1e6, above=True)] = None
    #: Threads for the CPU's arithmetic; 0: torch's choice.
    threads: Annotated[int, Range(0, 1024)] = 0
    #: Below this spread of the target's features the run is stopped as collapsed; 0: never.
    collapse_spread: Annotated[float, Range(0.0, 1.0)] = 0.02
    #: Steps before a collapse can stop the run.
    collapse_after: Steps = 200


@dataclass(frozen=True)
class Recipe:
    """Complete configuration of a pre-training run, except its images."""

    model: DetectorSpec = field(default_factory=DetectorSpec)
    data: DataRecipe = field(default_factory=DataRecipe)
    views: ViewsRecipe = field(default_factory=ViewsRecipe)
    colors: PhotometricRecipe = field(default_factory=PhotometricRecipe)
    method: MethodRecipe = field(default_factory=MethodRecipe)
    optimizer: OptimizerRecipe = field(default_factory=OptimizerRecipe)
    schedule: ScheduleRecipe = field(default_factory=ScheduleRecipe)
    export: ExportRecipe = field(default_factory=ExportRecipe)
    engine: EngineRecipe = field(default_factory=EngineRecipe)

    @property
    def best_boxes(self) -> int:
        """Number of an image's boxes, from the first, that are objects to the RPN; 0: all."""
        return self.views.boxes if self.method.name == "detection" else self.views.best

    def to_yaml(self) -> str:
        """Return the complete recipe, defaults included."""
        return recipe_yaml(self)

    def sha256(self) -> str:
        """Return a digest of the recipe's content, independent of the file's layout."""
        return hashlib.sha256(json.dumps(to_dict(self), sort_keys=True).encode()).hexdigest()


def recipe_names() -> list[str]:
    """Return the names of the bundled recipes."""
    return shipped(recipe_folder())


@checked
def load_recipe(source: str | Path | None = None, settings: Iterable[str] = (), method: str | None = None) -> Recipe:
    """Load a recipe from a file or by name, with single values changed.

    Args:
        source: a YAML file, a name of `recipe_names`, or None for the defaults, which are the paper's; of detection,
            which is not the paper's, for its bundled recipe. A recipe may begin with ``extends: <another>`` and
            contain only the differences.
        settings: ``section.field=value``, the value in YAML.
        method: replaces the recipe's method.

    Raises:
        RecipeError: no such recipe, not YAML, an unknown field, a wrong type, or values that exclude each other.
    """
    if source is None and method == "detection":
        source = DETECTION_RECIPE
    where, data = read_recipe(Recipe, source, settings, recipe_folder(), "recipe", "schedule.epochs=20")
    if method is not None:
        section = data.setdefault("method", {})
        if isinstance(section, dict):
            section["name"] = method
    recipe = from_dict(Recipe, data, where, RecipeError)
    check(recipe)
    return recipe


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
