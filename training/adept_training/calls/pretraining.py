"""Propose boxes and pre-train, from a folder of images to a checkpoint folder."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO, Unpack

from adept_hub.arguments.calls import checked
from adept_hub.detectors.device import find_device
from adept_hub.errors import SourceError
from adept_hub.foreign.import_weights import check_layout
from adept_hub.hub.fetch import fetch
from adept_hub.hub.local import layout_folder
from adept_hub.io.paths import exists
from adept_hub.names import FileSource, split_layout
from adept_training.calls.sections import PretrainSections, recipe_of
from adept_training.images import open_images
from adept_training.pretraining.asked import Asked
from adept_training.pretraining.preflight import check_run
from adept_training.pretraining.pretrain import pretrain as pretrain_table
from adept_training.pretraining.recipe import load_recipe
from adept_training.pretraining.watch.outcome import PretrainResult
from adept_training.proposals.fallbacks import fallback_warning
from adept_training.proposals.run import run_proposals
from adept_training.proposals.table.store import ProposalTable
from adept_training.runtime.first_process import owns
from adept_training.runtime.progress import progress_bar
from adept_training.runtime.recipe_files import sections_as_settings
from adept_training.runtime.trackers import require_trackers

_log = logging.getLogger(__name__)

propose = run_proposals


@checked
@owns("out")
def pretrain(
    images: str | Path,
    out: str | Path,
    *,
    recipe: str | Path | None = None,
    method: str | Mapping[str, Any] | None = None,
    proposals: str | Path | None = None,
    init: str | None = None,
    layout: str | None = None,
    minutes: float | None = None,
    resume: bool = False,
    wait: bool = False,
    license: str = "unstated",  # its name everywhere
    relicense: bool = False,
    settings: Sequence[str] = (),
    trackers: Sequence[str] = (),
    preview: bool = False,
    device: str = "auto",
    stream: TextIO | None = None,
    **sections: Unpack[PretrainSections],
) -> PretrainResult:
    """Pre-train a detector on unlabeled images; write its checkpoint folder to ``out``/export.

    Args:
        images: a folder, a text file of paths or WebDataset shards.
        recipe: a YAML file or a bundled recipe; by default, with ``resume``, that of the run.
        method: ``adept_joint``, ``adept_separate``, ``soco``, ``byol`` or ``detection``, or fields of that section of
            the recipe.
        proposals: the table of `propose`; by default one is written to ``out``/proposals.
        init: weights to start from, any source; required by ``adept_separate``.
        layout: project that wrote the weights file ``init``, as in ``LAYOUT:FILE``; None: recognized.
        minutes: end the training after this time, which the search for boxes and decoding precede
            (``engine.max_minutes``).
        wait: if another process is writing ``out``, wait for it to end instead of refusing.
        license: of the weights; by default the recipe's, or else that of ``init``.
        relicense: claim the right to grant a more permissive license than that of ``init``.
        settings: single values of the recipe as on the command line, such as ``engine.seed=3``; after ``sections``.
        trackers: also log to these: ``tensorboard``, ``wandb``, ``mlflow``, ``trackio``.
        preview: first draw views, boxes, levels and positive anchors to ``out``/preview.png.
        device: ``auto`` for all processes that the launcher started, on GPUs if there are any; ``cpu``, ``cuda`` or
            ``mps`` for this process alone.
        stream: stream for progress lines; None: a progress bar on a terminal or in a notebook.
        **sections: fields of the recipe by section, such as ``engine={"batch_size": 64}``.

    Returns:
        The run: steps, probes, verdict. ``interrupted`` is true if a signal ended it; its state is saved.

    Raises:
        RecipeError: an unknown field, or a value out of its bounds. Others as in `adept_training.propose` and
        `adept_training.pretraining.pretrain.pretrain`.

    Example:
        >>> adept_training.pretrain("images", "runs/mine", recipe="own_photos_cpu")  # doctest: +SKIP
    """
    folder = Path(out)
    # All checks come before the proposals, which may take hours.
    require_trackers(trackers)
    find_device(device)
    fields = {"name": method} if isinstance(method, str) else method or {}
    limit = [] if minutes is None else [f"engine.max_minutes={minutes}"]
    values = [*sections_as_settings({**sections, "method": fields}), *settings, *limit]
    loaded = load_recipe(recipe_of(recipe, folder, resume), values, fields.get("name"))
    start, source = _start(init, layout), open_images(images)
    terms: dict[str, Any] = {"init": start, "resume": resume, "license": license, "relicense": relicense}
    loaded = check_run(loaded, source.keys(), folder, **terms).licensed(loaded)
    where = folder / "proposals" if proposals is None else Path(proposals)
    if proposals is None:
        if stream is not None:
            stream.write(f"No --proposals given: writing them with preset {loaded.data.proposals!r} to {where}\n")
        with progress_bar(len(source.keys()), "boxes", " images", stream) as bar:
            run_proposals(
                source, where, preset=loaded.data.proposals, progress=lambda now: bar.update(now.done - bar.n)
            )
    table = ProposalTable.open(where)
    preset = table.metadata["preset"]["name"]
    if warning := fallback_warning(len(table), table.fallbacks, preset, str(images), where):
        if stream is None:
            _log.warning("%s", warning)
        else:
            stream.write(f"caution: {warning}\n")
    asked = Asked(
        str(images),
        None if proposals is None else str(proposals),
        init,
        tuple(trackers),
        layout=layout,
        preview=preview,
        device=device,
    )
    outcome = pretrain_table(
        loaded, source, table, folder, stream=stream, proposals=table.metadata, asked=asked, **terms
    )  # fmt: skip
    return replace(outcome, license=loaded.export.license)


def _start(init: str | None, layout: str | None) -> Path | None:
    if layout is None:
        return None if init is None else fetch(init).folder
    path = None if init is None else split_layout(init, layout)[0]
    if path is None or not exists(path):
        given = "no weights are given (init)" if init is None else f"{init} does not exist here"
        raise SourceError(
            f"The layout {layout!r} is that of a weights file, but {given}.\n"
            f"Use: adept pretrain --recipe own_photos_backbone --images IMAGES --out RUN --init FILE --layout {layout}"
        )
    check_layout(layout)
    return layout_folder(FileSource(path, layout))
