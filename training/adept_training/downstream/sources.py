"""``DATA``, as every downstream command takes it: ``coco:ANN.json:IMAGES``, ``voc:DIR``, or a YAML file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from adept_hub.errors import DataError
from adept_training.downstream.coco import read_coco
from adept_training.downstream.problems import Problem
from adept_training.downstream.records import Data, Split
from adept_training.downstream.voc import class_names, read_voc, set_names

HELP = "coco:ANN.json:IMAGE_DIR (train, then val, then test), voc:DIR[:TRAIN[:VAL[:TEST]]], or a YAML file"
_SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Source:
    """Where one split, or a part of one, is: a COCO JSON and its images, or a VOC folder and one of its sets."""

    format: str
    folder: Path
    annotations: Path | None = None
    set_name: str = ""


def read_data(specs: str | Path | Sequence[str]) -> tuple[Data, list[Problem]]:
    """The sound records of a data set, and everything that is wrong with its annotations; no image is opened.

    Raises:
        DataError: ``specs`` name no data set.
    """
    words = [str(specs)] if isinstance(specs, (str, Path)) else [str(word) for word in specs]
    words = [word for joined in words for word in joined.split(",") if word]
    if not words:
        raise DataError(f"No data set is given.\nGive {HELP}.")
    sources, classes = _sources(words)
    problems: list[Problem] = []
    if classes is None and any(s.format == "voc" for parts in sources.values() for s in parts):
        classes = _voc_classes(sources)
    splits = {name: _read(name, parts, classes, problems) for name, parts in sources.items()}
    first, *others = splits.values()
    for split in others:
        if split.classes != first.classes:
            differ = sorted(set(split.classes) ^ set(first.classes)) or ["their order"]
            problems.append(Problem("categories-differ", split.name, f"against {first.name}", ", ".join(differ)[:100]))
    data = Data(" ".join(words), splits["train"], splits.get("val"), splits.get("test"))
    return data, problems


def _read(name: str, parts: list[Source], classes: tuple[str, ...] | None, problems: list[Problem]) -> Split:
    splits = []
    for source in parts:
        if source.format == "voc":
            splits.append(read_voc(source.folder, source.set_name, classes or (), name, problems))
        else:
            assert source.annotations is not None
            split = read_coco(source.annotations, source.folder, name, problems)
            splits.append(split if classes is None else split.only_classes(classes))
    whole = splits[0]
    for other in splits[1:]:
        if other.classes != whole.classes:
            problems.append(Problem("categories-differ", name, "two parts of the split"))
        whole = Split(name, (*whole.images, *other.images), whole.classes, whole.category_ids)
    return whole


def _voc_classes(sources: dict[str, list[Source]]) -> tuple[str, ...]:
    folders = {source.folder for parts in sources.values() for source in parts if source.format == "voc"}
    found: set[str] = set()
    for folder in folders:
        sets = [s.set_name for parts in sources.values() for s in parts if s.folder == folder]
        found |= class_names(folder, sets)
    return tuple(sorted(found))


def _sources(words: list[str]) -> tuple[dict[str, list[Source]], tuple[str, ...] | None]:
    if len(words) == 1 and words[0].startswith("voc:"):
        return _voc_splits(words[0]), None
    if len(words) == 1 and words[0].lower().endswith((".yaml", ".yml")):
        return _yaml_splits(Path(words[0]))
    if len(words) > 3:
        raise DataError(f"{len(words)} data sets are given; at most three can be: train, val, test.")
    return {name: [_one(word, Path())] for name, word in zip(_SPLITS, words, strict=False)}, None


def _one(word: str, base: Path) -> Source:
    """One split from ``coco:ANN.json:IMAGES`` or ``voc:DIR:SET``, paths relative to ``base``."""
    form, _, rest = word.partition(":")
    first, sign, second = rest.rpartition(":")
    if form == "coco" and sign:
        annotations, folder = base / Path(first).expanduser(), base / Path(second).expanduser()
        if not annotations.is_file():
            raise DataError(f"There is no annotation file {annotations}.\nGive {HELP}.")
        if not folder.is_dir():
            raise DataError(f"There is no image folder {folder}.\nGive {HELP}.")
        return Source("coco", folder, annotations)
    if form == "voc" and sign:
        folder = base / Path(first).expanduser()
        if second not in set_names(folder):
            known = ", ".join(n for n in set_names(folder) if "_" not in n) or "none"
            raise DataError(f"{folder} has no image set {second!r}.\nIts sets (ImageSets/Main): {known}.")
        return Source("voc", folder, set_name=second)
    raise DataError(f"{word!r} names no labelled data set.\nGive {HELP}.")


def _voc_splits(word: str) -> dict[str, list[Source]]:
    place, *chosen = word.removeprefix("voc:").split(":")
    folder = Path(place).expanduser()
    names = set_names(folder)
    if not names:
        raise DataError(
            f"{folder} is no Pascal VOC folder: it has no ImageSets/Main/*.txt.\n"
            "A VOC folder holds Annotations, ImageSets and JPEGImages."
        )
    if not chosen:
        chosen = [name for name in _SPLITS if name in names]
        if "train" not in chosen:
            chosen = [name for name in ("trainval", "test") if name in names]
    if not chosen:
        known = ", ".join(names[:8])
        raise DataError(f"{folder} has no set named train or trainval, only {known}.\nSay voc:DIR:TRAIN:VAL.")
    return {split: [_one(f"voc:{folder}:{name}", Path())] for split, name in zip(_SPLITS, chosen, strict=False)}


def _yaml_splits(path: Path) -> tuple[dict[str, list[Source]], tuple[str, ...] | None]:
    try:
        content: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as YAML: {' '.join(str(error).split())[:200]}") from error
    known = "train, val, test (each coco:ANN.json:IMAGES or voc:DIR:SET), classes"
    if not isinstance(content, dict) or "train" not in content:
        raise DataError(f"{path} has no field 'train'.\nKnown: {known}.")
    if unknown := sorted(map(str, set(content) - {*_SPLITS, "classes"})):
        raise DataError(f"{path} has an unknown field {unknown[0]!r}.\nKnown: {known}.")
    sources = {}
    for name in _SPLITS:
        if name in content:
            words = content[name] if isinstance(content[name], list) else [content[name]]
            if not words or not all(isinstance(word, str) for word in words):
                raise DataError(f"{path}: {name} must be coco:ANN.json:IMAGES or voc:DIR:SET, or a list of them.")
            sources[name] = [_one(word, path.parent) for word in words]
    classes = content.get("classes")
    if classes is not None and not (isinstance(classes, list) and all(isinstance(c, str) for c in classes)):
        raise DataError(f"{path}: classes must be a list of names.")
    return sources, None if classes is None else tuple(classes)
