"""A run's whole configuration: frozen dataclasses, from YAML and ``--set``, and back to YAML."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from adept_hub.arguments.calls import checked
from adept_hub.errors import RecipeError
from adept_hub.io.schema import Range, from_dict, to_dict
from adept_hub.spec import OPTIONAL, DetectorSpec
from adept_training.data.photometric import PhotometricRecipe
from adept_training.data.views import ViewsRecipe
from adept_training.method.recipe import MethodRecipe
from adept_training.pretraining.misplaced import DETECTION_RECIPE, check, check_length
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
class LRScaleRecipe:
    """Multiples of the learning rate, by part.

    In a short run the detector's features sink to a rank of two or three within 150 steps when all are 1, and keep
    theirs with 0.2 for backbone, FPN and head and 10 for the predictor.
    """

    #: Multiple of the rate for the backbone.
    backbone: Scale = 1.0
    #: Multiple of the rate for the FPN.
    fpn: Scale = 1.0
    #: Multiple of the rate for the RoI head.
    head: Scale = 1.0
    #: Multiple of the rate for the RPN; excludes ``rpn_lr``.
    rpn: Scale = 1.0
    #: Multiple of the rate for the projector of a contrast.
    projector: Scale = 1.0
    #: Multiple of the rate for the predictor of a contrast, or for detection's box predictor.
    predictor: Scale = 1.0


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
    lr_scale: LRScaleRecipe = field(default_factory=LRScaleRecipe)
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
    #: Steps between lines of the log.
    log_every: Annotated[int, Range(1, 1_000_000_000)] = 10
    #: Steps between probes of the held-out images; 0: only first and last.
    probe_every: Steps = 500
    #: The run ends here at the latest. Learning rate and momentum then follow the clock where it is ahead of the
    #: steps, so that the schedule is complete; such a run cannot be repeated bit for bit.
    max_minutes: Annotated[float | None, Range(0.0, 1e6, above=True)] = None
    #: Steps of the run, in place of ``schedule.epochs``; the warm-up keeps its share of them.
    max_steps: Annotated[int | None, Range(1, 1_000_000_000)] = field(default=None, metadata=OPTIONAL)
    #: Threads for the CPU's arithmetic, at most the available CPUs; 0: torch's choice.
    threads: Annotated[int, Range(0, 1024)] = 0
    #: Below this spread of the target's features the run is stopped as collapsed; 0: never.
    collapse_spread: Annotated[float, Range(0.0, 1.0)] = 0.02
    #: Steps before a collapse can stop the run.
    collapse_after: Steps = 200


@dataclass(frozen=True)
class Recipe:
    """Complete configuration of a pre-training run, except its images."""

    #: Fields of earlier versions by section, and those that replace them.
    RENAMED: ClassVar[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
        "optimizer": {
            "detector_lr_scale": ("lr_scale.backbone", "lr_scale.fpn", "lr_scale.head"),
            "predictor_lr_scale": ("lr_scale.predictor",),
        }
    }

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
    given = list(settings)
    where, data = read_recipe(Recipe, source, given, recipe_folder(), "recipe", "schedule.epochs=20")
    if method is not None:
        section = data.setdefault("method", {})
        if isinstance(section, dict):
            section["name"] = method
    recipe = from_dict(Recipe, data, where, RecipeError)
    check_length(recipe, given)
    check(recipe)
    return recipe
