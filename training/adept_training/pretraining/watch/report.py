"""Write one or several pre-training runs as one web page: curves, pictures, recipe, and the next commands."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Mapping, Sequence
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
from adept_training.pages.plotting import lines_plot
from adept_training.pretraining.asked import next_commands
from adept_training.pretraining.origin import recorded_origin
from adept_training.pretraining.watch.log import RunLog, read_log
from adept_training.pretraining.watch.outcome import advice_of, asked_of, network_of, random_share_of, verdict_of
from adept_training.pretraining.watch.pictures import Watched, read_picture, read_watched
from adept_training.proposals.pictures import panel
from adept_training.runtime.journal import duration
from adept_training.runtime.recipe_files import flatten

_log = logging.getLogger(__name__)

REPORT = "report.html"
_SIDE = 220
_TRUTH, _FOUND = "#ffffff", "#e8384f"
_LAST = 5

#: Title, scalars, whether the axis begins at 0. ``NETWORK`` is the exported network.
_GROUPS: tuple[tuple[str, tuple[str, ...], bool], ...] = (
    ("loss", ("loss",), False),
    ("contrast: V1 with V2, V1 with V3", ("contrast_12", "contrast_13"), False),
    ("RPN: objectness, box", ("rpn_objectness", "rpn_box"), True),
    ("RoI head: class, box", ("head_class", "head_box"), True),
    ("objects whose class the RoI head predicts", ("head_right",), True),
    ("spread of the features (0: collapsed)", ("spread_target", "spread_online"), True),
    ("retrieval (dotted: chance)", ("retrieval",), True),
    ("held-out recall, 100 proposals", ("NETWORK_recall100_iou50", "NETWORK_recall100_iou70"), True),
    ("rank of the head's features", ("NETWORK_head_rank",), False),
    ("same image among the nearest features", ("NETWORK_head_same_image",), True),
    ("R² of the head's features on color", ("NETWORK_head_color_r2",), True),
    ("held-out objectness AUC", ("NETWORK_objectness_auc", "NETWORK_objectness_auc_level"), False),
    ("positive anchors per image", ("positives_p2", "positives_p3", "positives_p4", "positives_p5"), True),
    ("learning rate", ("lr",), True),
    ("momentum of the target", ("momentum",), False),
    ("share of the random start in the weights", ("random_share",), True),
    ("images per second", ("images_per_s",), True),
    ("share of time waiting for data", ("data_wait",), True),
)
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
    for run, name in zip(runs, names, strict=True):
        verdict = verdict_of(run) if run.state == "done" else None
        judged = "" if verdict is None else f" Verdict: {verdict.sentence}."
        tone = verdict.tone if verdict is not None else "bad" if run.state == "stopped" else "caution"
        page.verdict((f"{name}: " if len(runs) > 1 else "") + _became(run) + judged, tone)
        if caution := random_share_caution(random_share_of(run)):
            page.text(caution[0].upper() + caution[1:])
        for text in [] if verdict is None else advice_of(run, verdict, float(run.records[-1].get("seconds", 0))):
            page.text(f"Try {text.partition(': ')[0]}:")
            page.code(text.partition(": ")[2])
    page.heading("Figures")
    page.text(f"Means of the last {_LAST} records; for recall, AUC and the random start the last value.", "dim")
    _figures(page, runs, names)
    if len(runs) > 1:
        _differences(page, runs, names)
    page.heading("Curves over the steps")
    _curves(page, runs, names)
    for run, name in zip(runs, names, strict=True):
        _pictures(page, run, f" of {name}" if len(runs) > 1 else "")
    for run, name in zip(runs, names, strict=True):
        page.heading("Next" if len(runs) == 1 else f"Next, with {name}")
        page.code("\n".join(_commands(run)))
    for run, name in zip(runs, names, strict=True):
        if origin := recorded_origin(run.folder):
            write_starts(page, origin.starts, origin.license, "" if len(runs) == 1 else f", {name}")
    page.heading("Recipe")
    for run, name in zip(runs, names, strict=True):
        page.folded(f"complete recipe of {name}", yaml.safe_dump(run.recipe(), sort_keys=False))
    page.write(path)


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


def _became(run: RunLog) -> str:
    epochs = run.series("epoch")[1]
    far = f"{run.step} of {run.start['steps']} steps" + (f" ({epochs[-1]:.2f} epochs)" if epochs else "")
    end = run.records[-1]
    sentence = {
        "done": f"Done: {far}" + (f", {duration(end['seconds'])}." if "seconds" in end else "."),
        "interrupted": f"Interrupted by a signal after {far}; the state is saved.",
        "stopped": f"Stopped after {far}: {' '.join(str(end.get('error', '')).split())}",
        "unfinished": f"Still running, or killed, at {far}.",
    }[run.state]
    return sentence + (f" {run.torn} incomplete lines of the log were ignored." if run.torn else "")


def _line(run: RunLog, name: str) -> tuple[list[float], list[float]]:
    return run.series(name.replace("NETWORK", network_of(run)))


def figures(run: RunLog) -> dict[str, float]:
    """Return the metrics of a run by the log's names: means of the last records, and the last probe."""
    means = {}
    for key in _SUMMARY:
        values = _line(run, key)[1]
        last = values[-1:] if key.startswith("NETWORK") or key == "random_share" else values[-_LAST:]
        if last:
            means[key.replace("NETWORK", network_of(run))] = sum(last) / len(last)
    return means


def _figures(page: Page, runs: Sequence[RunLog], names: Sequence[str]) -> None:
    metrics = [{key.removeprefix(f"{network_of(run)}_"): value for key, value in figures(run).items()} for run in runs]
    short = {key.removeprefix("NETWORK_"): title for key, title in _SUMMARY.items()}
    shown = {key: title for key, title in short.items() if any(key in of_run for of_run in metrics)}
    rows = [
        [name, str(run.step), *(_number(key, of_run.get(key)) for key in shown)]
        for run, name, of_run in zip(runs, names, metrics, strict=True)
    ]
    page.table(["run", "steps", *shown.values()], rows)


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


def _curves(page: Page, runs: Sequence[RunLog], names: Sequence[str]) -> None:
    """Plot a run's scalars in groups; for several runs one scalar at a time."""
    for title, keys, zero in _GROUPS:
        if len(runs) == 1:
            lines = {_short(key): _line(runs[0], key) for key in keys}
            _draw(page, lines, title, runs, zero)
            continue
        for key in keys:
            of_runs = {name: _line(run, key) for run, name in zip(runs, names, strict=True)}
            _draw(page, of_runs, title if len(keys) == 1 else _short(key), runs, zero)


def _draw(
    page: Page, lines: Mapping[str, tuple[list[float], list[float]]], title: str, runs: Sequence[RunLog], zero: bool
) -> None:
    present = {name: line for name, line in lines.items() if line[0]}
    if not present:
        return
    level = _chance(runs) if title.startswith("retrieval") else 0.5 if "auc" in title.lower() else None
    longest = max(len(x) for x, _ in present.values())
    noisy = not title.startswith(("learning rate", "momentum", "held-out", "recall", "objectness", "lr"))
    page.drawing(lines_plot(present, title, smooth=longest // 30 if noisy else 0, level=level, zero=zero))


def _chance(runs: Sequence[RunLog]) -> float | None:
    """Return the chance level of retrieval: one over the images that a process sees at once."""
    batches = {(flatten(run.recipe()).get("engine.batch_size"), run.start.get("processes", 1)) for run in runs}
    batch, processes = next(iter(batches))
    if len(batches) > 1 or not isinstance(batch, int) or batch < processes:
        return None
    return 1 / int(batch // processes)


def _short(key: str) -> str:
    return key.removeprefix("NETWORK_").replace("_", " ").replace("recall100 iou", "recall at IoU .")


def _pictures(page: Page, run: RunLog, of: str) -> None:
    preview = run.folder / "preview.png"
    if preview.is_file():
        page.heading(f"Inputs of the run{of}")
        try:
            shown = _jpeg(Image.fromarray(read_picture(preview)))
            page.picture(shown, "The first samples: views, boxes by level, positive anchors.")
        except ImageDecodeError as error:
            page.text(f"{preview} cannot be shown: {error}")
    watched = read_watched(run.folder, run.records)
    if watched is not None and watched.proposals:
        page.heading(f"Proposals of the RPN on held-out images{of}")
        first, last = min(watched.proposals), max(watched.proposals)
        for step in dict.fromkeys((first, last)):
            count = max(len(boxes) for boxes in watched.proposals[step])
            caption = f"Step {step}: the {count} best proposals (red) and selective search's boxes (white)."
            page.picture(_jpeg(_proposals(watched, step)), caption)


def _proposals(watched: Watched, step: int) -> Image.Image:
    """Draw the watched images side by side with the best proposals over selective search's boxes."""
    sheet = Image.new("RGB", (len(watched.pixels_NSS3) * (_SIDE + 6) - 6, _SIDE), "white")
    for i, (pixels, truth, proposals) in enumerate(
        zip(watched.pixels_NSS3, watched.boxes_N, watched.proposals[step], strict=True)
    ):
        boxes_N4 = np.array([*truth, *proposals], np.float32).reshape(-1, 4)
        colors = [_TRUTH] * len(truth) + [_FOUND] * len(proposals)
        sheet.paste(panel(pixels, boxes_N4, colors, 2, _SIDE), (i * (_SIDE + 6), 0))
    return sheet


def _commands(run: RunLog) -> list[str]:
    if run.state == "done":
        return next_commands(run.folder, str(flatten(run.recipe()).get("export.license", "unstated")))
    return [asked_of(run).resume(run.folder)]


def _jpeg(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format="JPEG", quality=85)
    return buffer.getvalue()
