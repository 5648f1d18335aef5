"""Predict a folder of images: a picture of each, a page, and files in the formats that other tools read."""

from __future__ import annotations

import io
import itertools
import json
import posixpath
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TextIO

import numpy as np
from PIL import Image

from adept_hub.detectors.draw import beside
from adept_hub.detectors.image_detections import ImageDetections
from adept_hub.detectors.predictor import Pixels, Predictor
from adept_hub.errors import ImageDecodeError, ImagesError, OutputExistsError
from adept_hub.images.files import name_of
from adept_hub.io.folder_lock import LOCK, OWNER
from adept_hub.io.write import atomic_file
from adept_hub.words.text import one_line
from adept_training.images import ImageSource, decode
from adept_training.pages.page import Page
from adept_training.predicting.formats import as_coco, as_yolo, csv_head, csv_rows
from adept_training.predicting.pseudo import PSEUDO, PseudoLabels
from adept_training.runtime.progress import progress_bar

FORMATS = ("pictures", "coco", "yolo", "csv")
PAGE = "index.html"
#: Pictures of the page, and their height in pixels.
_ON_PAGE, _HEIGHT = 48, 300


@dataclass(frozen=True)
class PredictOptions:
    """Limits of the detections (see `Predictor.predict`) and formats of the files."""

    score: float = 0.3
    most: int | None = None
    batch_size: int = 1
    formats: tuple[str, ...] = FORMATS
    #: Labels for a second round of training, written as pseudo.json.
    pseudo: PseudoLabels | None = None


@dataclass
class Predicted:
    """Result: number of images and of detections per predictor, and the unreadable images with their errors."""

    out: Path
    images: int = 0
    detections: list[int] = field(default_factory=list)
    unreadable: dict[str, str] = field(default_factory=dict)
    interrupted: bool = False


def check_out(out: Path) -> None:
    """Check that a folder is new or empty, so that no picture of another run stays in it.

    Raises:
        OutputExistsError: it has files.
    """
    if out.is_dir() and all(path.name in (LOCK, OWNER) for path in out.iterdir()):
        return
    if out.exists():
        raise OutputExistsError(f"{out} exists and is not an empty folder.\nChoose another folder: --out DIR")


def predict_images(
    predictors: Sequence[Predictor],
    source: ImageSource,
    out: Path,
    options: PredictOptions,
    title: str,
    command: str = "",
    stream: TextIO | None = None,
) -> Predicted:
    """Run detectors over images and write what was found; an interrupt keeps what is finished.

    Args:
        predictors: with several, pictures show them side by side, and each has a folder of files.
        source: the images.
        out: folder, new or empty.
        options: formats and limits.
        title: of the page; ``command``: command line that it quotes.
        stream: of the progress bar, which only a terminal gets.

    Raises:
        ImagesError: no image can be read.
    """
    done, names = Predicted(out, detections=[0] * len(predictors)), safe_names(source.keys())
    kept: list[list[ImageDetections]] = [[] for _ in predictors]
    page = Page(title, f"Boxes with a score of at least {options.score:g}; a page of the first {_ON_PAGE} images.")
    bar = progress_bar(len(names), "predicting", " images", stream)
    reading = _readable(source, done)
    try:
        while batch := list(itertools.islice(reading, options.batch_size)):
            rows = [list(_predict(one, batch, options)) for one in predictors]
            for results in zip(*rows, strict=True):
                _write_one(results, predictors, names[results[0].image], options, out)
                if done.images < _ON_PAGE:
                    page.picture(_jpeg(_side_by_side(results, predictors, _HEIGHT)), _caption(results, predictors))
                for place, result in enumerate(results):
                    kept[place].append(_without_pixels(result))
                    done.detections[place] += len(result)
                done.images += 1
            bar.update(len(batch))
    except KeyboardInterrupt:
        done.interrupted = True
    finally:
        bar.close()
    if not done.images and not done.interrupted:
        first, why = next(iter(done.unreadable.items()))
        raise ImagesError(f"None of {len(names)} images can be read; the first, {one_line(first)}: {why}")
    for predictor, rest in zip(predictors, kept, strict=True):
        _write_files(rest, predictor, _folder_of(out, predictors, predictor), options)
    if command:
        page.heading("Made by")
        page.code(command)
    page.write(out / PAGE)
    return done


def safe_names(keys: Sequence[str]) -> dict[str, str]:
    """Return a relative path without a suffix for each key: unique and inside the folder.

    Keys of a list may be absolute or begin with ``..``; they are then named from their common folder.
    """
    paths = [PurePosixPath(posixpath.normpath(_without_colon(name_of(key)))) for key in keys]
    if any(path.parts[0] in ("/", "//", "..") for path in paths):
        here = _without_colon(Path.cwd().as_posix())
        paths = [PurePosixPath(posixpath.normpath(posixpath.join(here, path))) for path in paths]
        common = posixpath.commonpath([path.parent for path in paths])
        paths = [path.relative_to(common) for path in paths]
    names: dict[str, str] = {}
    taken: set[str] = set()
    for key, path in zip(keys, paths, strict=True):
        stem, whole = path.with_suffix("").as_posix(), path.as_posix()
        name = next(n for n in (stem, whole, *(f"{stem}-{i}" for i in range(2, len(keys) + 2))) if n not in taken)
        taken.add(name)
        names[key] = name
    return names


def _without_colon(path: str) -> str:
    """Return ``C:/images/a.png`` as ``/C/images/a.png``, which has a place below any folder."""
    return f"/{path[0]}{path[2:]}" if re.match(r"[A-Za-z]:[\\/]", path) else path


def _readable(source: ImageSource, done: Predicted) -> Iterator[tuple[str, Pixels]]:
    for key in source.keys():  # noqa: SIM118  # not a mapping
        try:
            yield key, decode(source.read(key), key)
        except ImageDecodeError as error:
            done.unreadable[key] = str(error)


def _predict(
    predictor: Predictor, batch: Sequence[tuple[str, Pixels]], options: PredictOptions
) -> Iterator[ImageDetections]:
    return predictor.predict_each(batch, score=options.score, most=options.most, batch_size=options.batch_size)


def _write_one(
    results: Sequence[ImageDetections], predictors: Sequence[Predictor], name: str, options: PredictOptions, out: Path
) -> None:
    if "pictures" in options.formats:
        with atomic_file(out / "pictures" / f"{name}.jpg") as temporary:
            temporary.write_bytes(_jpeg(_side_by_side(results, predictors, None)))
    for predictor, result in zip(predictors, results, strict=True):
        if "yolo" in options.formats:
            with atomic_file(_folder_of(out, predictors, predictor) / "labels" / f"{name}.txt") as temporary:
                temporary.write_text(as_yolo(result), encoding="utf-8")


def _write_files(
    results: Sequence[ImageDetections], predictor: Predictor, folder: Path, options: PredictOptions
) -> None:
    texts: dict[str, str] = {}
    if "coco" in options.formats:
        texts["detections.json"] = json.dumps(as_coco(results, predictor.classes)) + "\n"
    if options.pseudo is not None:
        texts[PSEUDO] = json.dumps(options.pseudo.content(results, predictor)) + "\n"
    if "csv" in options.formats:
        texts["detections.csv"] = csv_head() + "".join(map(csv_rows, results))
    if "yolo" in options.formats:
        texts["classes.txt"] = "".join(f"{name}\n" for name in predictor.classes)
    for name, text in texts.items():
        with atomic_file(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8", errors="surrogateescape")


def _folder_of(out: Path, predictors: Sequence[Predictor], predictor: Predictor) -> Path:
    """Return the folder of a predictor's files: ``out``, or a numbered one with its source's last name."""
    if len(predictors) == 1:
        return out
    name = re.sub(r"[^\w.-]+", "-", predictor.name.rstrip("/").rpartition("/")[2]).strip(".-")
    return out / f"{list(predictors).index(predictor) + 1}-{name or 'source'}"


def _side_by_side(
    results: Sequence[ImageDetections], predictors: Sequence[Predictor], height: int | None
) -> Image.Image:
    pictures = [result.plot(height) for result in results]
    return pictures[0] if len(pictures) == 1 else beside(pictures, [predictor.name for predictor in predictors])


def _caption(results: Sequence[ImageDetections], predictors: Sequence[Predictor]) -> str:
    counts = [f"{len(result)}" for result in results]
    if len(counts) > 1:
        counts = [f"{predictor.name}: {count}" for predictor, count in zip(predictors, counts, strict=True)]
    return f"{one_line(results[0].image)} ({', '.join(counts)})"


def _jpeg(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format="JPEG", quality=88)
    return buffer.getvalue()


def _without_pixels(result: ImageDetections) -> ImageDetections:
    """Return the detections with an image of the same size that takes no memory."""
    empty_HW3 = np.broadcast_to(np.zeros((), np.uint8), result.pixels_HW3.shape)
    return ImageDetections(
        result.boxes_D4, result.scores_D, result.labels_D, result.masks, result.image, empty_HW3, result.classes
    )
