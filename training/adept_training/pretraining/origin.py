"""What a pre-training starts from: the facts of its start, read once, recorded beside the log, and kept to the end."""

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
from adept_training.method.adept import Adept
from adept_training.pretraining.recipe import Recipe
from adept_training.runtime.recipe_files import flatten

START = "start.json"


@dataclass(frozen=True)
class PretrainStart:
    """What a run starts from, and what follows for the weights that it leaves; random values have no ``starts``."""

    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    #: The chain of checkpoints that the run goes back to, the direct one last.
    starts: tuple[Start, ...] = ()
    license: str = "unstated"
    relicensed: bool = False
    labeled: bool = False

    def licensed(self, recipe: Recipe) -> Recipe:
        """Return the recipe with the license of the weights that the run leaves."""
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
    """Read what a run starts from, and refuse a start that does not suit it; nothing is written.

    Args:
        recipe: of the run.
        init: a checkpoint folder to start from; a run that is resumed knows its own.
        folder: of the run.
        resume: whether it is continued.
        license: that was asked for beside the recipe's; unstated for the recipe's, or else the start's.
        relicense: the right to grant a license that is not known to be at least as restrictive is claimed.

    Raises:
        RecipeError: separate training without a start or with one that lacks a part; another architecture.
        LicenseError: the license is more permissive than the start's.
        ResumeError: ``init`` is not what the run started from, or the run did not record it.
    """
    before = recorded_origin(folder) if resume else None
    if resume and before is None:
        raise ResumeError(
            f"{folder} has no {START}: what its run started from, mean and std included, is not known.\n"
            "Start the run again with another --out."
        )
    asked = license if is_stated(license) else recipe.export.license
    if init is None and before is None:
        if not recipe.method.contrasts:
            raise RecipeError(
                "adept_separate trains an RPN on a backbone, FPN and head that are pre-trained already.\n"
                "Name them: --init SOURCE, such as the --out of a run with --method soco of the same architecture"
            )
        return PretrainStart(license=asked)
    origin = before or PretrainStart()
    if init is not None:
        config = read_config(init)
        if before is not None and before.starts != config.as_starts():
            raise ResumeError(
                f"The run in {folder} started from {_named(before.starts)}, whose weights are not those of {init}.\n"
                "Leave --init out to continue it, or start another run with another --out."
            )
        check_start(recipe, config, init)
        pixels, labeled = config.preprocessing, config.provenance.labeled
        origin = replace(origin, preprocessing=pixels, starts=config.as_starts(), labeled=labeled)
    if before is not None and asked in ("unstated", before.license):
        return origin  # judged when the run began
    given, claimed = inherit(origin.starts[-1] if origin.starts else None, asked, relicense=relicense)
    return replace(origin, license=given, relicensed=claimed)


def check_start(recipe: Recipe, config: CheckpointConfig, init: Path) -> None:
    """Refuse a start that lacks what the method does not train, or whose tensors mean something else.

    Raises:
        RecipeError: what is lacking, or which settings would agree.
    """
    lacking = [part for part in ("backbone", "fpn", "head") if part not in config.parts]
    if lacking and not recipe.method.contrasts:
        raise RecipeError(
            f"adept_separate freezes the backbone, FPN and head of its start, but {config.name} has no "
            f"{' and no '.join(lacking)}: it would freeze random values and publish them as pre-trained.\n"
            f"Train them first, from it: {training_command('soco', config.spec, init)}"
        )
    wanted, found = flatten(to_dict(recipe.model)), flatten(to_dict(config.spec))
    trains_its_rpn = recipe.method.trains_rpn and recipe.method.contrasts and "rpn" in config.parts
    differ = [
        name for name, value in found.items()
        if value != wanted[name] and (trains_its_rpn or not name.startswith("anchors."))
    ]  # fmt: skip
    if differ:
        settings = shlex.join([w for name in differ for w in ("--set", f"model.{name}={json.dumps(found[name])}")])
        raise RecipeError(
            f"{config.name} and the recipe's model section differ in {', '.join(differ)}.\n"
            f"Train what the start is: {settings}"
        )


def load_start(model: Adept, init: Path) -> None:
    """Copy the tensors of a start into both networks, those of the parts that the method has.

    The RPN of separate training is new; a method without one leaves that of its start behind.
    """
    recipe = model.recipe
    taken = set(recipe.parts) - (set() if recipe.contrasts else {"rpn"})
    tensors = {k: t for k, t in read_tensors(init, read_config(init)).items() if k.split(".", 1)[0] in taken}
    for network in (model.online, model.target) if recipe.contrasts else (model.online,):
        own = network.parts.state_dict()
        network.parts.load_state_dict({key: tensors.get(key, tensor) for key, tensor in own.items()})


def record_origin(origin: PretrainStart, folder: Path) -> None:
    """Write start.json into the run's folder."""
    with atomic_file(folder / START) as temporary:
        temporary.write_text(json.dumps(to_dict(origin), indent=2) + "\n", encoding="utf-8")


def recorded_origin(folder: Path) -> PretrainStart | None:
    """Return what the run in ``folder`` recorded; None of a run that did not.

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
