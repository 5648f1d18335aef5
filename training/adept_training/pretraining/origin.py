"""The starting point of a pre-training: read once, recorded next to the log, and checked on resuming."""

from __future__ import annotations

import json
import os
import shlex
from dataclasses import dataclass, field, replace
from pathlib import Path

from adept_hub.checkpoint.folder import read_config, read_tensors
from adept_hub.checkpoint.licenses import inherit, is_stated
from adept_hub.errors import RecipeError, ResumeError
from adept_hub.io.read import BoundedReader
from adept_hub.io.schema import from_dict, to_dict
from adept_hub.io.write import atomic_file
from adept_hub.registry.training import training_command
from adept_hub.spec import CheckpointConfig, Preprocessing, Start
from adept_training.method.model import PretrainModel
from adept_training.method.recipe import MethodRecipe
from adept_training.pretraining.recipe import Recipe
from adept_training.runtime.recipe_files import flatten

START = "start.json"

#: Parts of a start that each setting of the architecture determines.
_DETERMINED_BY = {
    "depth": ("backbone", "fpn"), "norm": ("backbone", "fpn", "head"), "fpn_channels": ("fpn", "rpn", "head"),
    "head_conv_channels": ("head",), "head_fc_channels": ("head",), "levels.upper": ("fpn", "head"),
    "anchors.sizes": ("rpn",), "anchors.ratios": ("rpn",),
}  # fmt: skip


@dataclass(frozen=True)
class PretrainStart:
    """Starting point of a run, and its effect on the resulting weights; random values have no ``starts``."""

    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    #: The chain of checkpoints that the run descends from, the direct one last.
    starts: tuple[Start, ...] = ()
    license: str = "unstated"
    relicensed: bool = False
    labeled: bool = False
    #: Share of random values in what the target network starts from; None: a start that does not record it.
    random_share: float | None = 1.0

    def licensed(self, recipe: Recipe) -> Recipe:
        """Return the recipe with the license of the resulting weights."""
        return replace(recipe, export=replace(recipe.export, license=self.license))


def open_pretrain_start(
    recipe: Recipe,
    init: Path | None,
    folder: Path,
    *,
    resume: bool = False,
    license: str = "unstated",  # its name everywhere
    relicense: bool = False,
) -> PretrainStart:
    """Read the starting point of a run, and check that it fits; write nothing.

    Args:
        recipe: recipe of the run.
        init: a checkpoint folder to start from; a resumed run has recorded its own.
        folder: folder of the run.
        resume: whether the run is continued.
        license: requested license; unstated for the recipe's, else the start's.
        relicense: claim the right to grant a license that may be less restrictive.

    Raises:
        RecipeError: separate training without a start or with one that lacks a part; another architecture.
        LicenseError: the license is more permissive than the start's.
        ResumeError: ``init`` is not what the run started from, or the run did not record it.
    """
    before = recorded_origin(folder) if resume else None
    if resume and before is None:
        raise ResumeError(
            f"{folder} has no {START}: the start of its run, mean and std included, is unknown.\n"
            "Start the run again with another --out."
        )
    requested = license if is_stated(license) else recipe.export.license
    if init is None and before is None:
        if recipe.method.freezes:
            raise RecipeError(
                "adept_separate trains an RPN on a backbone, FPN and head that are pre-trained already.\n"
                "Give them: --init SOURCE, such as the --out of a run with --method soco of the same architecture"
            )
        return PretrainStart(license=requested)
    origin = before or PretrainStart()
    if init is not None:
        config = read_config(init)
        if before is not None and before.starts != config.as_starts():
            raise ResumeError(
                f"The run in {folder} started from {_named(before.starts)}, whose weights are not those of {init}.\n"
                "Leave --init out to continue it, or start a new run with another --out."
            )
        check_start(recipe, config, init)
        pixels, labeled = config.preprocessing, config.provenance.labeled
        # In a part that the start lacks, both networks begin with random values. The RPN has no target.
        lacking = set(recipe.method.parts) - {"rpn"} - set(config.parts)
        random_share = 1.0 if lacking else config.provenance.random_share
        origin = replace(
            origin, preprocessing=pixels, starts=config.as_starts(), labeled=labeled, random_share=random_share
        )
    if before is not None and requested in ("unstated", before.license):
        return origin  # checked when the run began
    license_name, claimed = inherit(origin.starts[-1] if origin.starts else None, requested, relicense=relicense)
    return replace(origin, license=license_name, relicensed=claimed)


def check_start(recipe: Recipe, config: CheckpointConfig, init: Path) -> None:
    """Check that a start has what the method does not train, and that its tensors mean the same.

    Raises:
        RecipeError: names the missing parts, or the settings that would match.
    """
    lacking = [part for part in ("backbone", "fpn", "head") if part not in config.parts]
    if lacking and recipe.method.freezes:
        raise RecipeError(
            f"adept_separate freezes the backbone, FPN and head of its start, but {config.name} has no "
            f"{' and no '.join(lacking)}: it would freeze random values and publish them as pre-trained.\n"
            f"Train them first, from it: {training_command('soco', config.spec, init)}"
        )
    recipe_model, start_model = flatten(to_dict(recipe.model)), flatten(to_dict(config.spec))
    taken = _taken(recipe.method) & set(config.parts)
    differ = [
        name for name, value in start_model.items() if value != recipe_model[name] and taken & set(_DETERMINED_BY[name])
    ]  # fmt: skip
    if differ:
        settings = shlex.join(
            [w for name in differ for w in ("--set", f"model.{name}={json.dumps(start_model[name])}")]
        )
        raise RecipeError(
            f"{config.name} and the recipe's model section differ in {', '.join(differ)}.\n"
            f"Use the settings of the start: {settings}"
        )


def _taken(method: MethodRecipe) -> set[str]:
    """Return the parts that a method takes from its start."""
    return set(method.parts) - ({"rpn"} if method.freezes else set())


def load_start(model: PretrainModel, init: Path) -> None:
    """Copy the tensors of a start into both networks, for the parts that the method trains or freezes.

    The RPN of separate training is new; a method without an RPN ignores that of its start.
    """
    recipe, taken = model.recipe, _taken(model.recipe)
    tensors = {k: t for k, t in read_tensors(init, read_config(init)).items() if k.split(".", 1)[0] in taken}
    for network in (model.online, model.target) if recipe.contrasts else (model.online,):
        own = network.parts.state_dict()
        network.parts.load_state_dict({key: tensors.get(key, tensor) for key, tensor in own.items()})


def record_origin(origin: PretrainStart, folder: Path) -> None:
    """Write start.json into the run's folder."""
    with atomic_file(folder / START) as temporary:
        temporary.write_text(json.dumps(to_dict(origin), indent=2) + "\n", encoding="utf-8")


def recorded_origin(folder: Path) -> PretrainStart | None:
    """Return the record of the run in ``folder``, or None if there is none.

    Raises:
        ResumeError: start.json is damaged.
    """
    path = folder / START
    if not os.path.lexists(path):
        return None
    door = BoundedReader(ResumeError, remedy="Start the run again with another --out.")
    content = door.json(path)
    try:
        return from_dict(PretrainStart, content, path.name, ResumeError)
    except ResumeError as error:
        raise door.refuse(path, f"is not what a run wrote ({str(error).splitlines()[0].rstrip('.')})") from error


def _named(starts: tuple[Start, ...]) -> str:
    return starts[-1].name if starts else "random values"
