"""Find out which kind of source a word of the command line is, and open what the page shows of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from adept_hub.checkpoint.folder import read_config
from adept_hub.detectors.folder import find_detector
from adept_hub.errors import ProposalsError, RecipeError, SourceError
from adept_hub.hub.fetch import fetch
from adept_hub.io.paths import expanded, is_dir, is_file, resolved
from adept_hub.io.schema import from_dict
from adept_hub.names import LocalSource, parse_source
from adept_hub.spec import CheckpointConfig
from adept_hub.words.text import one_line
from adept_training.comparing.runs import RUNS
from adept_training.pretraining.recipe import Recipe
from adept_training.pretraining.watch.log import LOG, RECIPE, RunLog, read_log
from adept_training.pretraining.watch.outcome import asked_of
from adept_training.proposals.table.shards import PLAN_FILE
from adept_training.proposals.table.store import ProposalTable

Kind = Literal["pre-training run", "fine-tuned detector", "weights", "comparison", "proposals"]
#: Sections of a recipe on which the views of an image depend.
_SHOWN = ("model", "data", "views", "colors", "method")
_EXPECTED = (
    "Expected the --out of adept pretrain, finetune, compare or proposals, a checkpoint folder, or a name.\n"
    "Names: adept list"
)


@dataclass(frozen=True)
class Opened:
    """A source of the page.

    Attributes:
        word: as typed.
        name: short name on the page.
        config: of its weights; None without weights, such as those of a run that has not exported yet.
        recipe: of its pre-training, if known.
        table: its boxes, if they are still there.
        images: the images that it was made from, if they are still there.
        notes: what is missing, and what to type.
    """

    word: str
    name: str
    kind: Kind
    folder: Path | None = None
    config: CheckpointConfig | None = None
    recipe: Recipe | None = None
    table: ProposalTable | None = None
    images: str | None = None
    notes: tuple[str, ...] = ()


def open_source(word: str) -> Opened:
    """Open a run, a comparison, a table of boxes, or weights.

    Raises:
        SourceError: a folder of another kind. Others as in `adept_hub.hub.fetch.fetch`.
    """
    parsed = parse_source(word)
    path = expanded(word.removeprefix("local-dir:"), SourceError)
    name = _short(word)
    if is_file(path / RUNS):
        return Opened(word, name, "comparison", path)
    if is_file(path / PLAN_FILE):
        return Opened(word, name, "proposals", path, table=ProposalTable.open(path))
    if (detector := find_detector(word)) is not None:
        return Opened(word, name, "fine-tuned detector", detector, read_config(detector))
    if is_file(path / LOG) and is_file(path / RECIPE):
        return _pretraining(word, name, path)
    if isinstance(parsed, LocalSource) and is_dir(path) and not _has_weights(path):
        raise SourceError(f"{one_line(word)} is a folder of unknown kind.\n{_EXPECTED}")
    fetched = fetch(word)
    return Opened(
        word, name, "weights", fetched.folder, fetched.config, _shown_recipe(fetched.config.provenance.recipe)
    )


def _pretraining(word: str, name: str, path: Path) -> Opened:
    log, notes = read_log(path), list[str]()
    asked = asked_of(log)
    config = None
    if _has_weights(path):
        config = fetch(str(path)).config
    else:
        notes.append(f"{name} has no export yet: its weights can be shown when the run has ended.")
    images = asked.images if log.start.get("asked") else None
    if images is not None and not images.startswith("hf-datasets:") and not Path(images).exists():
        notes.append(f"The images of {name}, {one_line(images)}, are not there. Give them with --images.")
        images = None
    table, why = _table(log, path, asked.proposals, config)
    recipe = _shown_recipe(log.recipe())
    return Opened(word, name, "pre-training run", path, config, recipe, table, images, (*notes, *why))


def _table(
    log: RunLog, path: Path, asked: str | None, config: CheckpointConfig | None
) -> tuple[ProposalTable | None, list[str]]:
    """Return the table that a run used, or None and the reason."""
    folder = Path(asked) if asked else path / "proposals"
    remedy = "Give the table as a further source, or make one: adept proposals IMAGES --out DIR"
    try:
        table = ProposalTable.open(folder)
    except ProposalsError:
        return None, [f"The boxes of this run, {one_line(str(folder))}, cannot be opened. {remedy}"]
    recorded = config.provenance.proposals.get("keys_sha256") if config is not None else None
    if recorded is not None and table.metadata.get("keys_sha256") != recorded:
        return None, [f"{one_line(str(folder))} is another table than the run of {log.folder.name} used. {remedy}"]
    return table, []


def _shown_recipe(content: Mapping[str, Any]) -> Recipe | None:
    """Return a recipe with the sections that views depend on; None if they are missing or of another version.

    The others change between versions, such as the optimizer's, and would keep older runs from being shown.
    """
    if not set(_SHOWN) <= set(content):
        return None
    try:
        recipe = from_dict(Recipe, {name: content[name] for name in _SHOWN}, RECIPE, RecipeError)
    except RecipeError:
        return None
    engine = content.get("engine")
    seed = engine.get("seed") if isinstance(engine, dict) else None  # samples are a function of it
    return replace(recipe, engine=replace(recipe.engine, seed=seed)) if isinstance(seed, int) else recipe


def _has_weights(path: Path) -> bool:
    return any(is_file(path / part / "config.json") for part in ("", "export", "best", "last"))


def _short(word: str) -> str:
    """Return the last part of a path, of a run's ``export``, ``best`` or ``last`` that of the run; else the word."""
    path = Path(word.removeprefix("local-dir:"))
    if not path.exists():
        return one_line(word, 40)
    whole = resolved(path)
    return one_line((whole.parent if whole.name in ("export", "best", "last") else whole).name or word, 40)
