"""The starting point of a pre-training: read once, recorded next to the log, and checked on resuming."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import shlex
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from adept_hub.checkpoint.folder import read_config, read_tensors
from adept_hub.checkpoint.licenses import inherit, is_stated
from adept_hub.convert.regressor import without_regressor
from adept_hub.errors import RecipeError, ResumeError
from adept_hub.io.read import BoundedReader
from adept_hub.io.schema import field_paths, from_dict, to_dict
from adept_hub.io.write import atomic_file
from adept_hub.load_report import LoadReport, PartReport
from adept_hub.models.contract import BOX_REGRESSOR, part_of
from adept_hub.models.determined import determines
from adept_hub.registry.training import training_command
from adept_hub.spec import CheckpointConfig, DetectorSpec, Preprocessing, Start
from adept_training.method.detection import DetectorNetwork
from adept_training.method.model import PretrainModel
from adept_training.method.recipe import MethodRecipe
from adept_training.pretraining.recipe import Recipe

START = "start.json"

#: Settings of pre-training's own, whatever the start was trained with.
_OWN = ("anchors.generator", "pooling")


@dataclass(frozen=True)
class PretrainStart:
    """Starting point of a run, and its effect on the resulting weights; random values have no ``starts``."""

    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    #: The chain of checkpoints that the run descends from, the direct one last.
    starts: tuple[Start, ...] = ()
    license: str = "unstated"
    relicensed: bool = False
    labeled: bool | None = False
    #: Share of random values in what the target network starts from; None: a start that does not record it.
    random_share: float | None = 1.0
    #: The same share of the start itself, which its frozen modules keep.
    start_random_share: float | None = None

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
        RecipeError: frozen parts without a start or with one that lacks them; another architecture.
        LicenseError: the license is more permissive than the start's.
        ResumeError: ``init`` is not what the run started from, or the run did not record it.
        Others as in `adept_hub.checkpoint.folder.read_tensors`.
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
        if recipe.method.needs_start:
            what, instead = _need_of_backbone(recipe.method)
            raise RecipeError(
                f"{what}, and without one it is random.\n"
                f"Give weights with a backbone: --init SOURCE, or do without: {instead}"
            )
        check_random_norms(recipe.model)
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
        read_tensors(init, config)  # a damaged file is reported here, and not after the proposals
        pixels, labeled = config.preprocessing, config.provenance.labeled
        # In a part that the start lacks, both networks begin with random values. The RPN has no target.
        lacking = set(recipe.method.parts) - {"rpn"} - set(config.parts)
        random_share = 1.0 if lacking else config.provenance.random_share
        origin = replace(
            origin, preprocessing=pixels, starts=config.as_starts(), labeled=labeled, random_share=random_share,
            start_random_share=config.provenance.random_share,
        )  # fmt: skip
    if before is not None and requested in ("unstated", before.license):
        return origin  # checked when the run began
    license_name, claimed = inherit(origin.starts[-1] if origin.starts else None, requested, relicense=relicense)
    return replace(origin, license=license_name, relicensed=claimed)


def check_random_norms(spec: DetectorSpec) -> None:
    """Check that a run without a start has no frozen norms: they would keep their initial statistics.

    Raises:
        RecipeError: names the settings.
    """
    frozen = [
        f"model.{part}_norm" for part in ("backbone", "fpn", "head") if getattr(spec, f"{part}_norm") == "frozen_bn"
    ]
    if frozen:
        raise RecipeError(
            f"{', '.join(frozen)} is frozen_bn, but the run starts from random values: such norms would never be "
            f"measured.\nTrain them: {shlex.join(w for name in frozen for w in ('--set', f'{name}=bn'))}\n"
            "Or start from a checkpoint that has them: --init SOURCE"
        )


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
    if recipe.method.needs_start and "backbone" not in config.parts:
        what, instead = _need_of_backbone(recipe.method)
        raise RecipeError(
            f"{what}, but {config.name} has no backbone.\nStart from weights that have one, or do without: {instead}"
        )
    recipe_model, start_model = settings_of(recipe.model), settings_of(config.spec)
    compared = [name for name in start_model if name not in _OWN]
    taken = _taken(recipe.method) & set(config.parts)
    differ = [name for name in compared if start_model[name] != recipe_model[name] and determines(taken, name)]
    if differ:
        settings = shlex.join(
            [w for name in differ for w in ("--set", f"model.{name}={json.dumps(start_model[name])}")]
        )
        raise RecipeError(
            f"{config.name} and the recipe's model section differ in {', '.join(differ)}.\n"
            f"Use the settings of the start: {settings}"
        )


def settings_of(spec: DetectorSpec) -> dict[str, object]:
    """Return every setting of an architecture by its path, those with their default included; anchors on P2-P5."""
    values = {path: to_dict(functools.reduce(getattr, path.split("."), spec)) for path in field_paths(DetectorSpec)}
    return values | {"anchors.sizes": list(spec.anchors.sizes[:4])}


def _need_of_backbone(method: MethodRecipe) -> tuple[str, str]:
    """Return why a method needs the backbone of a start, and the setting without that need."""
    if method.freeze != "none":
        return f"method.freeze={method.freeze} keeps the backbone of the start as it is", "--set method.freeze=none"
    return "method.teacher=frozen takes its targets from the backbone of the start", "--set method.teacher=ema"


def _taken(method: MethodRecipe) -> set[str]:
    """Return the parts that a method takes from its start."""
    return set(method.parts) - ({"rpn"} if method.freezes else set())


def load_start(model: PretrainModel, init: Path) -> LoadReport:
    """Copy the tensors of a start into both networks, for the parts that the method trains or freezes.

    The RPN of separate training is new; a method without an RPN ignores that of its start, and one that predicts no
    boxes its box regressor.

    Returns:
        For each part of the method, the tensors that the start brings and those that stay random.
    """
    recipe, taken = model.recipe, _taken(model.recipe)
    config = read_config(init)
    tensors = {k: t for k, t in read_tensors(init, config).items() if part_of(k) in taken}
    if not isinstance(model.online, DetectorNetwork):
        tensors = without_regressor(tensors)
    elif BOX_REGRESSOR[0] in tensors:
        weight, bias = (tensors[key] for key in BOX_REGRESSOR)
        model.online.predictor.bbox_pred.load_state_dict({"weight": weight, "bias": bias})
    for network in (model.online, model.target) if recipe.has_target else (model.online,):
        own = network.parts.state_dict()
        network.parts.load_state_dict({key: tensors.get(key, tensor) for key, tensor in own.items()})
    model.keep_start()
    own = model.online.parts.state_dict()
    rows = []
    for part in recipe.parts:
        brought = [tensor for key, tensor in tensors.items() if part_of(key) == part]
        random = tuple(key for key in own if part_of(key) == part and key not in tensors)
        rows.append(PartReport(part, len(brought), sum(tensor.nbytes for tensor in brought), random))
    return LoadReport(str(init), config.name, tuple(rows), license=config.license)


def describe_start(report: LoadReport) -> str:
    """Return in one line what a start brings and what stays random."""
    brought = [f"{row.part} ({row.loaded} tensors, {row.bytes / 1e6:.1f} MB)" for row in report.parts if row.loaded]
    random = [row.part for row in report.parts if row.reinitialized]
    text = f"started from {report.name}: {', '.join(brought) or 'nothing'}"
    return f"{text}; {', '.join(random)} start at random" if random else text


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


def recipe_digest(recipe: Recipe) -> str:
    """Return a digest of the settings that change the weights; device and speed may differ between sessions."""
    data = to_dict(recipe)
    del data["export"], data["data"]["workers"], data["data"]["cache_gb"]
    # Settings that came later count where they are used: runs that began before them can be resumed.
    if not recipe.data.cache:
        del data["data"]["cache"]
    if recipe.method.target_pass == "by_view":
        del data["method"]["target_pass"]
    scale = data["optimizer"]["lr_scale"]
    if len({scale[part] for part in ("backbone", "fpn", "head")}) == 1 and scale["rpn"] == scale["projector"] == 1:
        del data["optimizer"]["lr_scale"]
        data["optimizer"] |= {"detector_lr_scale": scale["backbone"], "predictor_lr_scale": scale["predictor"]}
    for name, value in (("freeze", "none"), ("teacher", "ema")):
        if data["method"][name] == value:
            del data["method"][name]
    if recipe.method.name != "detection":
        del data["method"]["detection"]
    for name in ("best", "stratify"):
        if not data["views"][name]:
            del data["views"][name]
    if recipe.method.rpn.other_iou is None:
        del data["method"]["rpn"]["other_iou"]
    data["engine"] = {k: data["engine"][k] for k in ("batch_size", "seed", "precision", "channels_last")}
    if recipe.engine.compile:
        data["engine"]["compile"] = True
    if recipe.engine.max_steps is not None:
        data["engine"]["max_steps"] = recipe.engine.max_steps
    return keys_digest([json.dumps(data, sort_keys=True)])


def keys_digest(keys: Iterable[str]) -> str:
    """Return a digest of texts in their order, such as the keys of images."""
    return hashlib.sha256("\n".join(keys).encode("utf-8", "surrogateescape")).hexdigest()
