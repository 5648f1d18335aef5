"""Write one or several pre-training runs as one web page: curves, pictures, recipe, and the next commands."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

from adept_hub.cards.random_share import random_share_caution
from adept_hub.errors import ImageDecodeError
from adept_hub.io.paths import resolved
from adept_hub.words.command_line import command_line
from adept_training.pages.lineage import write_starts
from adept_training.pages.page import Page
from adept_training.pretraining.origin import recorded_origin
from adept_training.pretraining.watch.curves import line_of, write_curves
from adept_training.pretraining.watch.log import RunLog, read_log
from adept_training.pretraining.watch.measures import before_and_after, changes_of, start_in_words
from adept_training.pretraining.watch.opening import headline, more_commands, progress, reasons, type_next
from adept_training.pretraining.watch.outcome import network_of, random_share_of, verdict_of
from adept_training.pretraining.watch.pictures import Watched, read_picture, read_watched
from adept_training.proposals.pictures import panel
from adept_training.runtime.recipe_files import flatten

_log = logging.getLogger(__name__)

_SIDE, _GAP = 240, 6
_TRUTH, _FOUND = "#ffffff", "#e8384f"
_LAST = 5

_SUMMARY = {
    "loss": "loss", "contrast_12": "contrast 12", "contrast_13": "contrast 13", "spread_target": "spread",
    "retrieval": "retrieval", "NETWORK_recall100_iou50": "recall .5", "NETWORK_recall100_iou70": "recall .7",
    "NETWORK_objectness_auc": "AUC", "NETWORK_objectness_auc_level": "AUC in level", "images_per_s": "images/s",
    "data_wait": "data wait", "random_share": "random start left",
}  # fmt: skip


def write_report(folders: Sequence[Path], path: Path) -> None:
    """Write the page about the runs in ``folders``, whatever their state.

    Raises:
        NotARunError: a folder contains no run. DiskFullError: the file cannot be written.
    """
    runs = [read_log(folder) for folder in folders]
    names = _names(folders)
    page = Page("Pre-training" if len(runs) > 1 else f"Pre-training: {names[0]}", _subtitle(runs))
    shown = [_open(page, run, f"{name}: " if len(runs) > 1 else "") for run, name in zip(runs, names, strict=True)]
    _measures(page, runs, names)
    if len(runs) > 1:
        _differences(page, runs, names)
    write_curves(page, runs, names)
    for run, name in zip(runs, names, strict=True):
        _pictures(page, run, f" of {name}" if len(runs) > 1 else "")
    for run, name, commands in zip(runs, names, shown, strict=True):
        if more := more_commands(run, commands):
            page.heading("More commands" if len(runs) == 1 else f"More commands, with {name}")
            page.code("\n".join(more))
    page.heading("Settings and provenance")
    with page.fold("Last logged values"):
        _figures(page, runs, names)
    for run, name in zip(runs, names, strict=True):
        if origin := recorded_origin(run.folder):
            with page.fold(f"Start and license of {name}"):
                write_starts(page, origin.starts, origin.license, "" if len(runs) == 1 else f", {name}")
        page.folded(f"Complete recipe of {name}", yaml.safe_dump(run.recipe(), sort_keys=False))
    page.write(path)


def _open(page: Page, run: RunLog, name: str) -> list[tuple[str, str]]:
    """Add the verdict and what to type next; return the commands."""
    verdict = verdict_of(run) if run.state == "done" else None
    title, tone = headline(run, verdict)
    why = "" if verdict is None else f"{reasons(verdict, list(changes_of(run).values()))} "
    page.verdict(f"{name if verdict is None else ''}{why}{progress(run)}", tone, f"{name}{title}")
    if caution := random_share_caution(random_share_of(run)):
        page.text(caution[0].upper() + caution[1:])
    commands = type_next(run, verdict)
    for purpose, command in commands:
        page.text(f"{purpose}:")
        page.code(command)
    return commands


def _measures(page: Page, runs: Sequence[RunLog], names: Sequence[str]) -> None:
    """Add the metrics before and after; for several runs a column per run."""
    tables = [before_and_after(run) for run in runs]
    if not any(tables):
        page.text("No metrics before and after: no images were held out, or the run has not reached its second probe.",
                  "dim")  # fmt: skip
        return
    page.heading("Before and after")
    page.text("Measured on held-out images without labels: the boxes are those of the proposals. Only a comparison "
              "with labels shows what the weights are worth on them.", "dim")  # fmt: skip
    if len(runs) == 1:
        state = "export" if runs[0].state == "done" else f"now, step {runs[0].step}"
        page.cards(["measure", start_in_words(runs[0]), state, "good direction", "result"], tables[0])
        return
    rows: dict[str, tuple[str, dict[str, str]]] = {}
    for name, table in zip(names, tables, strict=True):
        for measure, meaning, (before, after, good, _) in table:
            cells = rows.setdefault(measure, (f"{meaning} {good[0].upper()}{good[1:]}.", {}))[1]
            cells[name] = f"{before} → {after}"
    page.cards(["measure: start → now", *names],
               [(measure, meaning, [cells.get(name, "-") for name in names]) for measure, (meaning, cells) in
                rows.items()])  # fmt: skip


def try_to_report(folder: Path, write: Callable[[], None]) -> None:
    """Write the report of a run that ends; an error in it must not fail the run."""
    try:
        write()
    except Exception as error:  # noqa: BLE001  # any error: the weights are saved
        why = " ".join(str(error).split()) or type(error).__name__
        _log.warning("The report could not be written: %s\nRun: %s", why, command_line("report", folder))


def _names(folders: Sequence[Path]) -> list[str]:
    """Return the last parts of each path that distinguish them."""
    paths = [resolved(folder).parts for folder in folders]
    for count in range(1, max(len(parts) for parts in paths) + 1):
        names = [str(Path(*parts[-count:])) for parts in paths]
        if len(set(names)) == len(names):
            break
    return names


def _subtitle(runs: Sequence[RunLog]) -> str:
    flat = [flatten(run.recipe()) for run in runs]
    facts = []
    for form, keys in (
        ("{}", ("method.name",)),
        ("ResNet-{} with an FPN of {} channels", ("model.depth", "model.fpn_channels")),
        ("views of {} pixels", ("views.sizes",)),
        ("{} images per step", ("engine.batch_size",)),
    ):
        values = {tuple(str(recipe.get(key, "?")) for key in keys) for recipe in flat}
        facts += [form.format(*next(iter(values)))] if len(values) == 1 else []
    photographs = {run.start["images"] for run in runs}
    return ", ".join([*facts, *(f"{count:,} images" for count in photographs if len(photographs) == 1)]) + "."


def figures(run: RunLog) -> dict[str, float]:
    """Return the metrics of a run by the log's names: means of the last records, and the last probe."""
    means = {}
    for key in _SUMMARY:
        values = line_of(run, key)[1]
        last = values[-1:] if key.startswith("NETWORK") or key == "random_share" else values[-_LAST:]
        if last:
            means[key.replace("NETWORK", network_of(run))] = sum(last) / len(last)
    return means


def _figures(page: Page, runs: Sequence[RunLog], names: Sequence[str]) -> None:
    metrics = [{key.removeprefix(f"{network_of(run)}_"): value for key, value in figures(run).items()} for run in runs]
    short = {key.removeprefix("NETWORK_"): title for key, title in _SUMMARY.items()}
    shown = {key: title for key, title in short.items() if any(key in of_run for of_run in metrics)}
    page.text(f"Means of the last {_LAST} records; for recall, AUC and the random start the last value.", "dim")
    rows = [[title, *(_number(key, of_run.get(key)) for of_run in metrics)] for key, title in shown.items()]
    page.table(["", *names], [["steps", *(str(run.step) for run in runs)], *rows])


def _number(key: str, value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.1%}" if key == "data_wait" else f"{value:.4g}"


def _differences(page: Page, runs: Sequence[RunLog], names: Sequence[str]) -> None:
    flat = [flatten(run.recipe()) for run in runs]
    keys = [key for key in flat[0] if len({str(recipe.get(key)) for recipe in flat}) > 1]
    if keys:
        page.heading("Differences between the recipes")
        page.table(["", *names], [[key, *(str(recipe.get(key, "-")) for recipe in flat)] for key in keys])


def _pictures(page: Page, run: RunLog, of: str) -> None:
    preview = run.folder / "preview.png"
    if preview.is_file():
        page.heading(f"Inputs{of}")
        try:
            shown = _jpeg(Image.fromarray(read_picture(preview)))
            page.picture(shown, "The first samples: views, boxes by level, positive anchors.")
        except ImageDecodeError as error:
            page.text(f"{preview} cannot be shown: {error}")
    watched = read_watched(run.folder, run.records)
    if watched is not None and watched.proposals:
        page.heading(f"Best proposals of the RPN, before and after{of}")
        first, last = min(watched.proposals), max(watched.proposals)
        count = max(len(boxes) for step in (first, last) for boxes in watched.proposals[step])
        page.text(f"Up to {count} best proposals (red) at step {first}, left, and at step {last}, right, on held-out "
                  "images. White: the boxes that a perfect RPN would find, the proposals of the run's table.",
                  "dim")  # fmt: skip
        for i in range(len(watched.pixels_NSS3)):
            page.picture(_jpeg(_proposals(watched, i, (first, last))), f"Image {i + 1}: step {first}, step {last}")


def _proposals(watched: Watched, i: int, steps: tuple[int, int]) -> Image.Image:
    """Draw a watched image side by side with the best proposals of two steps over the boxes to find."""
    sheet = Image.new("RGB", (2 * _SIDE + _GAP, _SIDE), "white")
    for column, step in enumerate(steps):
        pixels, truth, found = watched.pixels_NSS3[i], watched.boxes_N[i], watched.proposals[step][i]
        thin = panel(pixels, np.array(truth, np.float32).reshape(-1, 4), [_TRUTH] * len(truth), 1, _SIDE)
        scaled = np.array(found, np.float32).reshape(-1, 4) * (_SIDE / max(pixels.shape[:2]))
        both = panel(np.asarray(thin), scaled, [_FOUND] * len(found), 3, _SIDE)
        sheet.paste(both, (column * (_SIDE + _GAP), 0))
    return sheet


def _jpeg(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format="JPEG", quality=85)
    return buffer.getvalue()
