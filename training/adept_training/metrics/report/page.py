"""Write a detector's report as one web page: metrics, curves, costs of errors, confusion, and the worst images."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import numpy as np

from adept_hub.detectors.detections import Detections
from adept_hub.spec import CheckpointConfig
from adept_training.labels.identity import ImageKey
from adept_training.labels.records import LabeledImage
from adept_training.metrics.confusion import confusion
from adept_training.metrics.evaluate import Evaluation
from adept_training.metrics.report.hits import Hit, best_images, right_detections
from adept_training.metrics.report.pictures import FOUND, TRUTH, WRONG, Mark, draw_image, truth_and_found
from adept_training.metrics.report.plots import bars_plot, curves_plot
from adept_training.metrics.tide import MAIN, TideError
from adept_training.metrics.voc import box_iou
from adept_training.pages.lineage import write_starts
from adept_training.pages.page import Page

#: Detections below this score are left out of confusion and pictures; metrics use all of them.
SCORE = 0.3
_WORST, _BEST = 3, 6
_LARGEST_MATRIX = 12
_EXPLAINED = {
    "Cls": "the right location, the wrong class", "Loc": "the right class, but too far off (IoU 0.1 to 0.5)",
    "Both": "the wrong class and too far off", "Dupe": "an object that was already found",
    "Bkg": "nothing is there", "Miss": "an object that nothing explains",
}  # fmt: skip


def write_report(
    evaluation: Evaluation, path: Path, title: str, command: str = "", weights: CheckpointConfig | None = None
) -> None:
    """Write the page with embedded pictures, and the starting point of ``weights`` if given.

    Raises:
        DiskFullError: the file cannot be written.
    """
    split = evaluation.split
    page = Page(title, f"{split.name}: {len(split)} images, {split.objects} objects, {len(split.classes)} classes.")
    flat = evaluation.flat()
    if evaluation.caution:
        page.verdict(evaluation.caution, "caution")
    hits = {} if evaluation.tide is None else right_detections(evaluation, SCORE)
    if evaluation.tide is not None:
        page.text(_in_words(evaluation, hits))
    page.heading("Metrics in percent")
    for group, names in _GROUPS.items():
        shown = [name for name in names if name in flat]
        if shown:
            page.text(group, "dim")
            page.table([_label(name) for name in shown], [[_number(flat[name]) for name in shown]])
    if evaluation.boxes is not None:
        page.text("s, m, l: objects below 32 x 32 pixels, up to 96 x 96, above; -: no objects of that size.", "dim")
    if evaluation.boxes is not None:
        page.heading("Precision over recall at IoU 0.5")
        ap50 = {name: row["AP50"] for name, row in evaluation.boxes.per_class.items()}
        page.drawing(curves_plot(evaluation.boxes.curves_KR, split.classes, ap50))
        _per_class(page, evaluation, hits)
    if evaluation.tide is not None:
        page.heading("Cost of errors")
        page.text(
            "Points of AP50 that an oracle would gain by fixing every error of one kind (TIDE). FalsePos and "
            "FalseNeg, in another color, are all wrong detections and all objects not found: they overlap with the "
            "six.", "dim",
        )  # fmt: skip
        page.drawing(bars_plot([evaluation.tide.main, evaluation.tide.special], "points of AP50"))
        rows = [[k, f"{evaluation.tide.main[k]:.2f}", str(evaluation.tide.counts[k]), _EXPLAINED[k]] for k in MAIN]
        page.table(["error", "cost", "count", "what it is"], rows)
        _confusion(page, evaluation)
        _best(page, evaluation, hits)
        _worst(page, evaluation, evaluation.tide.errors)
    if weights is not None:
        write_starts(page, weights.provenance.starts, weights.license)
    if command:
        page.heading("Made by")
        page.code(command)
    page.write(path)


def write_predictions(evaluation: Evaluation, folder: Path, count: int = 8) -> list[Path]:
    """Draw detections (blue) and objects (green, dashed) on the first images, as JPEG files."""
    from adept_hub.io.write import atomic_file

    split = evaluation.split
    written: list[Path] = []
    for image in split.images[:count]:
        detections = evaluation.found.get(image.key, Detections.none())
        jpeg = draw_image(image, truth_and_found(image, detections, split.classes, SCORE), height=480)
        if jpeg is not None:
            below = folder / f"part{split.parts.index(split.part(image.key)) + 1}" if len(split.parts) > 1 else folder
            path = below / PurePosixPath(image.file_name).with_suffix(".jpg")
            if path in written:  # a.png next to a.jpg
                path = below / f"{image.file_name}.jpg"
            with atomic_file(path) as temporary:
                temporary.write_bytes(jpeg)
            written.append(path)
    return written


def _in_words(evaluation: Evaluation, hits: Mapping[ImageKey, list[Hit]]) -> str:
    """Return what was found, and how much of what was detected is right."""
    right = sum(map(len, hits.values()))
    objects = sum(int((~(image.crowd_M | image.difficult_M)).sum()) for image in evaluation.split.images)
    sure = sum(int((found.scores_D >= SCORE).sum()) for found in evaluation.found.values())
    share = "" if sure == 0 else f" {right} of {sure} detections of that score are right ({right / sure:.0%})."
    found = f"{right} of {objects} objects ({right / objects:.0%})" if objects else "No objects are labeled, so none"
    return f"At a score of at least {SCORE}: {found} are found, with the right class and an IoU of at least 0.5.{share}"


_SUMMARY = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")
_GROUPS = {
    "Boxes, COCO": _SUMMARY,
    "Masks, COCO": tuple(f"mask_{name}" for name in _SUMMARY),
    "Boxes, Pascal VOC at IoU 0.5: eleven points (2007), and area under the curve": ("VOC07_AP50", "VOC_AP50"),
    "The RPN alone, class-agnostic": ("RPN_AR1", "RPN_AR10", "RPN_AR100", "RPN_AR1000"),
}


def _per_class(page: Page, evaluation: Evaluation, hits: Mapping[ImageKey, list[Hit]]) -> None:
    assert evaluation.boxes is not None
    objects = Counter(int(label) for image in evaluation.split.images for label in image.labels_M)
    right = Counter(hit.label for mine in hits.values() for hit in mine)
    rows = []
    for label, name in enumerate(evaluation.split.classes, start=1):
        row = evaluation.boxes.per_class[name]
        voc = evaluation.voc["07"][name] if evaluation.voc is not None else math.nan
        rows.append(
            [name, str(objects[label]), str(right[label]), *(_number(v) for v in (row["AP"], row["AP50"], voc))]
        )
    page.table(["class", "objects", f"found at {SCORE}", "AP", "AP50", "VOC07 AP50"], rows)


def _confusion(page: Page, evaluation: Evaluation) -> None:
    classes = evaluation.split.classes
    counts = confusion(evaluation.split, evaluation.found, SCORE)
    page.heading("Confusion")
    scores = np.concatenate([np.zeros(0), *(detections.scores_D for detections in evaluation.found.values())])
    page.text(
        f"{int((scores >= SCORE).sum())} of {len(scores)} detections have a score of at least {SCORE}; only these are "
        "counted here, matched with objects at IoU 0.5 regardless of class, and shown in the pictures below.", "dim",
    )  # fmt: skip
    if len(classes) <= _LARGEST_MATRIX:
        names = ["nothing", *classes]
        order = [*range(1, len(names)), 0]
        table = counts.matrix()
        rows = [[names[i], *(str(table[i, j]) if i or j else "-" for j in order)] for i in order]
        page.table(["true \\ found as", *(names[j] if j else "missed" for j in order)], rows)
        return
    rows = [[classes[i - 1], classes[j - 1], str(times)] for i, j, times in counts.mistaken(15)]
    page.table(["true", "found as", "times"], rows)


def _best(page: Page, evaluation: Evaluation, hits: Mapping[ImageKey, list[Hit]]) -> None:
    """Show the images of the surest hits, with every right detection in them."""
    images, classes = {image.key: image for image in evaluation.split.images}, evaluation.split.classes
    keys = best_images(hits, len(classes), _BEST)
    if not keys:
        return
    page.heading("What it found: right detections")
    page.text("Blue, solid: right detections, with score and IoU. Green, dashed: objects.", "dim")
    for key in keys:
        image, found = images[key], evaluation.found[key]
        marks: list[Mark] = [(box, TRUTH, "") for box in image.boxes_M4]
        marks += [
            (found.boxes_D4[hit.detection], FOUND, f"{classes[hit.label - 1]} {hit.score:.2f} IoU {hit.iou:.2f}")
            for hit in hits[key]
        ]
        jpeg = draw_image(image, marks)
        if jpeg is not None:
            page.picture(jpeg, f"{_shown(evaluation, image)}: {len(hits[key])} of {len(image)} objects found")


def _shown(evaluation: Evaluation, image: LabeledImage) -> str:
    """Return the id of an image with its file name."""
    shown = evaluation.split.shown(image.key)
    return shown if image.file_name == shown else f"{image.file_name}, image {shown}"


def _worst(page: Page, evaluation: Evaluation, errors: tuple[TideError, ...]) -> None:
    """Show the images with most errors of each kind, each error weighted by its score."""
    images = {image.key: image for image in evaluation.split.images}
    classes = evaluation.split.classes
    for kind in MAIN:
        weight: Counter[ImageKey] = Counter()
        mine = [e for e in errors if e.kind == kind and not e.ignored and (kind == "Miss" or e.score >= SCORE)]
        for error in mine:
            weight[error.image] += error.score if kind != "Miss" else 1.0  # type: ignore[assignment]  # a float weighs
        if not weight:
            continue
        page.heading(f"Worst images: {kind}, {_EXPLAINED[kind]}")
        for key, _ in weight.most_common(_WORST):
            image = images[key]
            detections = evaluation.found.get(key, Detections.none())
            here = [error for error in mine if error.image == key]
            marks: list[Mark] = [(box, TRUTH, "") for box in image.boxes_M4]
            for error in here:
                box = detections.boxes_D4[error.detection] if error.detection >= 0 else image.boxes_M4[error.object]
                text = classes[error.label - 1]
                if error.detection >= 0:
                    iou = box_iou(box[None], image.boxes_M4).max(initial=0.0)
                    text += f" {error.score:.2f} IoU {iou:.2f}"
                marks.append((box, WRONG, text))
            jpeg = draw_image(image, marks)
            if jpeg is not None:
                page.picture(
                    jpeg, f"{_shown(evaluation, image)}: {len(here)} x {kind} (orange, solid; objects: green, dashed)"
                )


def _label(name: str) -> str:
    return name.removeprefix("mask_").removeprefix("RPN_")


def _number(value: float | None) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.1f}"
