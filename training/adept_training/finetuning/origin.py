"""The starting point of a fine-tuning: read its source once, and check it before any work."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from adept_hub.checkpoint.folder import read_tensors
from adept_hub.checkpoint.licenses import inherit
from adept_hub.detectors.files import check_detector
from adept_hub.detectors.recipe import DetectorRecipe
from adept_hub.errors import CheckpointError, DataError, RecipeError, ResumeError
from adept_hub.hub.fetch import fetch
from adept_hub.io.read import MAX_ANNOTATIONS, BoundedReader
from adept_hub.io.schema import to_dict
from adept_hub.models.determined import completed
from adept_hub.spec import PARTS, CheckpointConfig, DetectorSpec, Preprocessing, Start
from adept_training.finetuning.detector import SCRATCH, Trained
from adept_training.finetuning.recipe import FinetuneRecipe

RUN = "run.json"


@dataclass(frozen=True)
class FinetuneStart:
    """Config of the source (None: random values), and architecture and preprocessing of the detector."""

    config: CheckpointConfig | None
    #: Of the source, or of the source given as ``--like``.
    own_spec: DetectorSpec | None
    pixels: Preprocessing

    @property
    def spec(self) -> DetectorSpec:
        """The architecture; a default `DetectorSpec` for ``scratch`` alone."""
        return self.own_spec or DetectorSpec()

    @property
    def starts(self) -> tuple[Start, ...]:
        """The chain of checkpoints that the run descends from, the direct one last."""
        return self.config.as_starts() if self.config else ()


def open_finetune_start(source: str, like: str | None, recipe: FinetuneRecipe, trained: Trained) -> FinetuneStart:
    """Read the facts of a source, and check what can be checked before any image is read.

    Args:
        source: as everywhere, or ``scratch``.
        like: a source whose architecture and anchors the parts take that the source lacks; ``scratch`` takes its
            pixels too.
        recipe: recipe of the run.
        trained: contains the requested license.

    Raises:
        RecipeError: only the predictors are trained, or the backbone is frozen, but the source lacks parts; or it
            lacks none, and ``like`` would change nothing.
        LicenseError: the license is more permissive than the source's.
        Others as in `adept_hub.hub.fetch.fetch` and `adept_hub.checkpoint.folder.read_tensors`.
    """
    fetched = None if source == SCRATCH else fetch(source)
    config = fetched.config if fetched else None
    parts = config.parts if config else ()
    lacking = [part for part in PARTS if part not in parts]
    if like and not lacking:
        raise RecipeError(
            f"--like gives the architecture of parts that the source lacks, and {source} has all four.\n"
            "Leave --like out."
        )
    other = fetch(like).config if like else None
    model = config or other
    check_freeze(recipe, config, source)
    if recipe.optimizer.layers == "last" and lacking:
        raise RecipeError(
            f"optimizer.layers=last trains the predictors alone, but {source} has no {', no '.join(lacking)}: "
            "they would stay random.\nTrain everything: --set optimizer.layers=all"
        )
    if fetched:
        read_tensors(fetched.folder, fetched.config)  # a damaged file is reported before the images are read
    spec = config.spec if config else None
    if other:
        new = other.spec.thawed()
        spec = completed(config.spec, config.parts, new) if config else new
    origin = FinetuneStart(config, spec, model.preprocessing if model else Preprocessing())
    inherit(origin.starts[-1] if config else None, trained.license, relicense=trained.relicense)
    return origin


def check_freeze(recipe: FinetuneRecipe, config: CheckpointConfig | None, source: str) -> None:
    """Check that a source has the backbone that its fine-tuning freezes.

    Args:
        recipe: recipe of the run.
        config: of the source; None: random values.
        source: its name, for the message.

    Raises:
        RecipeError: it has none.
    """
    if recipe.optimizer.freeze != "none" and (config is None or "backbone" not in config.parts):
        raise RecipeError(
            f"optimizer.freeze={recipe.optimizer.freeze} keeps the backbone of the source, but {source} has none: it "
            "would stay random.\nTrain it: --set optimizer.freeze=none"
        )


def check_detector_of(classes: tuple[str, ...], recipe: DetectorRecipe, iterations: int) -> None:
    """Check before training what the detector's files would reject after it.

    Raises:
        DataError: a class name or a setting is invalid in a detector.
    """
    try:
        check_detector("The detector that the run would leave", classes, recipe, iterations)
    except CheckpointError as error:
        why = str(error).splitlines()[0]
        raise DataError(f"{why}\nChange the classes in the data set, or the recipe's detector section.") from error


def check_resumed(origin: FinetuneStart, folder: Path, unlabeled: object | None = None) -> None:
    """Check that a run continues from the weights that it started from, with unlabeled images if it had some.

    Raises:
        ResumeError: the source's weights are not those that run.json records, or it is damaged.
    """
    path = folder / RUN
    if not os.path.lexists(path):
        return  # load_state reports a missing run
    reader = BoundedReader(
        ResumeError, MAX_ANNOTATIONS, remedy="Start the run again with another --out.", surrogates=True
    )
    content = reader.json(path)
    if isinstance(content, dict) and (unlabeled is None) != (content.get("unlabeled") is None):
        had = "with" if unlabeled is None else "without"
        remedy = "Give the same --unlabeled again" if unlabeled is None else "Leave --unlabeled out"
        raise ResumeError(
            f"The run in {folder} was started {had} unlabeled images.\n{remedy}, or start a new run with another --out."
        )
    recorded = content.get("starts") if isinstance(content, dict) else ""
    if recorded is not None and not (isinstance(recorded, list) and all(isinstance(s, dict) for s in recorded)):
        raise reader.refuse(path, "is not what a run wrote")
    if recorded is not None and recorded != to_dict(origin.starts):
        before = f"{recorded[-1].get('name', '?')!s:.200}" if recorded else "random values"
        raise ResumeError(
            f"The run in {folder} started from {before}, whose weights are not those of the source now.\n"
            "Continue it with the source that it started from, or start a new run with another --out."
        )
