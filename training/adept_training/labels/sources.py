"""Parse ``DATA``: ``coco:ANN.json:IMAGES``, ``voc:DIR``, ``yolo:FILE``, ``hf-datasets:NAME``, or YAML."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from adept_hub.errors import DataError
from adept_hub.io.paths import expanded, is_dir, is_file, not_a, resolved, what_is
from adept_hub.io.read import BoundedReader
from adept_hub.words.spelling import did_you_mean
from adept_training.labels.fields import split_fields, split_last
from adept_training.labels.formats.coco import read_coco
from adept_training.labels.formats.hugging_face import CocoCopy, copy_splits
from adept_training.labels.formats.voc import class_names, image_folder, read_voc, set_names
from adept_training.labels.formats.yolo import read_yolo
from adept_training.labels.formats.yolo_set import YoloSet, open_yolo
from adept_training.labels.identity import Part
from adept_training.labels.problems import LabelProblem
from adept_training.labels.recognize import likely_data
from adept_training.labels.records import Data, Split

HELP = (
    "coco:ANN.json:IMAGE_DIR (train, then val, then test), voc:DIR[:TRAIN[:VAL[:TEST]]], yolo:data.yaml, "
    "hf-datasets:NAME, or a YAML file"
)
_SPLITS = ("train", "val", "test")
_ONE_SPLIT = "coco:ANN.json:IMAGES, voc:DIR:SET, yolo:data.yaml:SPLIT or hf-datasets:NAME:SPLIT"
_FIELDS = (*_SPLITS, "classes")


@dataclass(frozen=True)
class Source:
    """Location of a split, or a part of one: a COCO JSON and its images, or a set of a VOC folder or YOLO file."""

    word: str
    folder: Path
    annotations: Path | None = None
    set_name: str = ""
    yolo: YoloSet | None = None

    @property
    def is_voc(self) -> bool:
        """True for a VOC folder, which declares no classes."""
        return self.annotations is None

    @property
    def place(self) -> tuple[Path, Path | None]:
        """The scope of its ids: the JSON or data.yaml, or the VOC folder, whose stems all sets share."""
        return resolved(self.folder), None if self.annotations is None else resolved(self.annotations)


def read_data(specs: str | Path | Sequence[str]) -> tuple[Data, list[LabelProblem]]:
    """Read the sound records of a data set, and all problems of its annotations; open no image.

    Raises:
        DataError: ``specs`` are not a valid data set, or the data set lacks a class.
    """
    words = [str(specs)] if isinstance(specs, (str, Path)) else [str(word) for word in specs]
    # A path may also contain commas.
    words = [
        word for joined in words for word in re.split(r",(?=(?:coco|voc|yolo|hf-datasets):)", joined.strip(",")) if word
    ]
    if not words:
        raise DataError(f"No data set is given.\nGive {HELP}.")
    sources, classes = _sources(words)
    problems: list[LabelProblem] = []
    splits = _read(sources, classes, problems)
    first, *others = splits.values()
    for split in others:
        if split.classes != first.classes:
            problems.append(
                LabelProblem("categories-differ", split.name, f"against {first.name}", _differ(split, first))
            )
    data = Data(" ".join(words), splits["train"], splits.get("val"), splits.get("test"))
    return data, problems


def _read(
    sources: dict[str, list[Source]], classes: tuple[str, ...] | None, problems: list[LabelProblem]
) -> dict[str, Split]:
    """Read every split, joined from its parts; VOC's come last, because the others declare classes."""
    numbers: dict[object, int] = {}
    jobs = [(name, source, numbers.setdefault(source.place, len(numbers) + 1))
            for name, parts in sources.items() for source in parts]  # fmt: skip
    parts_read: dict[int, tuple[Split, list[LabelProblem]]] = {}
    for at, (name, source, number) in enumerate(jobs):
        own: list[LabelProblem] = []
        if source.yolo is not None:
            first = not any(earlier.yolo is source.yolo for _, earlier, _ in jobs[:at])
            own += [LabelProblem(kind, name, where, detail) for kind, where, detail in source.yolo.faults if first]
            part = Part(number, f"yolo:{source.yolo.file}", source.folder)
            parts_read[at] = read_yolo(source.yolo, source.set_name, part, name, own), own
        elif source.annotations is not None:
            parts_read[at] = read_coco(source.annotations, Part(number, source.word, source.folder), name, own), own
    declared = list(dict.fromkeys(c for split, _ in parts_read.values() for c in split.classes))
    folders = {source.folder: [s.set_name for _, s, _ in jobs if s.is_voc and s.folder == source.folder]
               for _, source, _ in jobs if source.is_voc}  # fmt: skip
    occurring = {c for folder, sets in folders.items() for c in class_names(folder, sets)}
    if classes is not None:
        _check_classes(classes, {*declared, *occurring}, folders)
    # An object of a class that was left out on purpose is not damage, so VOC is read with all of them.
    voc_classes = (*classes, *sorted(occurring - {*classes})) if classes else tuple(declared or sorted(occurring))
    for at, (name, source, number) in enumerate(jobs):
        if source.is_voc:
            own, part = [], Part(number, f"voc:{source.folder}", image_folder(source.folder))
            parts_read[at] = read_voc(source.folder, source.set_name, part, voc_classes, name, own), own
    splits: dict[str, list[Split]] = {name: [] for name in sources}
    for at, (name, source, _) in enumerate(jobs):
        split, own = parts_read[at]
        several = len(sources[name]) > 1
        problems += [replace(p, split=f"{name} ({source.word})") for p in own] if several else own
        splits[name].append(split if classes is None else split.with_classes(classes))
    return {name: _join(name, parts, problems) for name, parts in splits.items()}


def _join(name: str, parts: list[Split], problems: list[LabelProblem]) -> Split:
    first, *others = parts
    seen = {image.key for image in first.images}
    for other in others:
        if other.classes != first.classes:
            problems.append(LabelProblem("categories-differ", name, "two parts of the split", _differ(other, first)))
        for image in other.images:
            if image.key in seen:
                where = f"image {image.key.id} of {other.parts[0].source}"
                problems.append(LabelProblem("duplicate-image-id", name, where, "in two of the split's parts"))
            seen.add(image.key)
    return Split.join(name, parts)


def _differ(one: Split, other: Split) -> str:
    names = ", ".join(sorted(set(one.classes) ^ set(other.classes)))[:100]
    return names or "their order; a data YAML with classes: sets it"


def _check_classes(classes: tuple[str, ...], known: set[str], folders: Iterable[Path]) -> None:
    """Check that every class occurs, be it in other sets of a VOC folder, which declares none."""
    missing = [name for name in classes if name not in known]
    if missing and known:
        known |= {c for folder in folders for c in class_names(folder, set_names(folder))}
        missing = [name for name in classes if name not in known]
    if missing and known:
        raise DataError(
            f"The data set has no class {missing[0]!r}.{did_you_mean(missing[0], sorted(known))}\n"
            f"Its classes: {', '.join(sorted(known)[:20])}. Correct classes: in the data YAML."
        )


def _sources(words: list[str]) -> tuple[dict[str, list[Source]], tuple[str, ...] | None]:
    if len(words) == 1 and words[0].startswith("voc:"):
        return _voc_splits(words[0]), None
    if len(words) == 1 and words[0].startswith("yolo:"):
        return _yolo_splits(words[0]), None
    if len(words) == 1 and words[0].startswith("hf-datasets:"):
        return {role: [_copied(copy)] for role, copy in copy_splits(words[0]).items()}, None
    if len(words) == 1 and words[0].lower().endswith((".yaml", ".yml")):
        return _yaml_splits(Path(words[0]))
    if len(words) > 3:
        raise DataError(f"{len(words)} data sets are given; give at most three: train, val, test.")
    return {name: [_one(word, Path())] for name, word in zip(_SPLITS, words, strict=False)}, None


def _one(word: str, base: Path) -> Source:
    """Parse one split: ``coco:ANN.json:IMAGES``, ``voc:DIR:SET``, ``yolo:FILE:SPLIT`` or ``hf-datasets:NAME:SPLIT``.

    Args:
        word: the split.
        base: folder that relative paths begin at.
    """
    form, _, rest = word.partition(":")
    first, sign, second = split_last(rest)
    if form == "coco" and not sign:  # a:/images has a file whose name is one letter, not a drive
        first, sign, second = rest.rpartition(":")
    if form == "coco" and sign:
        annotations, folder = base / expanded(first, DataError), base / expanded(second, DataError)
        if not is_file(annotations):
            raise DataError(f"{not_a('an annotation file', annotations)}\nGive {HELP}.")
        if not is_dir(folder):
            raise DataError(f"{not_a('an image folder', folder)}\nGive {HELP}.")
        return Source(f"coco:{annotations}:{folder}", folder, annotations)
    if form == "voc" and sign:
        folder = base / expanded(first, DataError)
        if second not in set_names(folder):
            set_list = ", ".join(n for n in set_names(folder) if "_" not in n) or "none"
            raise DataError(f"{folder} has no image set {second!r}.\nIts sets (ImageSets/Main): {set_list}.")
        return Source(f"voc:{folder}:{second}", folder, set_name=second)
    if form == "voc":
        names = set_names(base / expanded(rest, DataError))
        some = f" Its sets: {', '.join(names[:8])}." if names else ""
        raise DataError(f"{word!r} is a folder, but one of its image sets is needed here.\nWrite voc:DIR:SET.{some}")
    if form == "yolo" and second in _SPLITS:
        return _yolo_source(open_yolo(base / expanded(first, DataError)), second)
    if form == "yolo":
        splits = ", ".join(open_yolo(base / expanded(rest, DataError)).locations)
        raise DataError(f"{word!r} is needed for one split here.\nWrite {word}:SPLIT. Its splits: {splits}.")
    if form == "hf-datasets" and sign:
        return _copied(copy_splits(word)["train"])
    if form == "hf-datasets":
        raise DataError(f"{word!r} is needed for one split here.\nWrite {word}:SPLIT.")
    likely = likely_data(word, base)
    remedy = f"It seems to be {likely}" if likely else f"Give {HELP}."
    raise DataError(f"{word!r} is not a labeled data set.\n{remedy}")


def _copied(copy: CocoCopy) -> Source:
    return Source(copy.word, copy.images, copy.annotations)


def _yolo_source(yolo: YoloSet, split: str) -> Source:
    if split not in yolo.locations:
        raise DataError(f"{yolo.file} has no split {split!r}.\nIts splits: {', '.join(yolo.locations)}.")
    return Source(f"yolo:{yolo.file}:{split}", yolo.root, yolo.file, split, yolo)


def _yolo_splits(word: str) -> dict[str, list[Source]]:
    """Parse ``yolo:FILE``, all of its splits, or ``yolo:FILE:SPLIT[:SPLIT[:SPLIT]]``, those to train and report on."""
    place, selected = word.removeprefix("yolo:"), list[str]()
    while place.rpartition(":")[2] in _SPLITS:
        place, _, split = place.rpartition(":")
        selected.insert(0, split)
    yolo = open_yolo(expanded(place, DataError))
    if not selected and "train" not in yolo.locations:
        raise DataError(f"{yolo.file} has no field train.\nTo use another split: {word}:{next(iter(yolo.locations))}")
    if len(selected) > len(_SPLITS):
        raise DataError(f"{word!r} names {len(selected)} splits; give at most three: train, val, test.")
    # A data.yaml without val keeps its test in the role of test.
    roles = dict(zip(_SPLITS, selected, strict=False)) if selected else {split: split for split in yolo.locations}
    return {role: [_yolo_source(yolo, split)] for role, split in roles.items()}


def _voc_splits(word: str) -> dict[str, list[Source]]:
    place, *selected_sets = split_fields(word.removeprefix("voc:"))
    folder = expanded(place, DataError)
    names = set_names(folder)
    if not names:
        why = "it has no ImageSets/Main/*.txt" if is_dir(folder) else f"it {what_is(folder)}"
        raise DataError(
            f"{folder} is not a Pascal VOC folder: {why}.\nA VOC folder contains Annotations, ImageSets and JPEGImages."
        )
    if selected_sets:
        roles = dict(zip(_SPLITS, selected_sets, strict=False))
    else:  # each in the role of its name: a folder without val does not validate on its test images
        roles = {name: name for name in _SPLITS if name in names}
        if "train" not in roles and "trainval" in names:
            roles = {"train": "trainval"} | {name: name for name in ("test",) if name in names}
    if "train" not in roles:  # so as not to train on the test set
        set_list = ", ".join(names[:8])
        words = f"voc:{folder}:{names[0]}" if len(names) == 1 else "voc:DIR:TRAIN:VAL"
        raise DataError(f"{folder} has no set named train or trainval, only {set_list}.\nWrite {words}")
    return {split: [_one(f"voc:{folder}:{name}", Path())] for split, name in roles.items()}


def _yaml_splits(path: Path) -> tuple[dict[str, list[Source]], tuple[str, ...] | None]:
    content: Any = BoundedReader(DataError).yaml(path)
    fields = f"train, val, test (each {_ONE_SPLIT}), classes"
    ours = isinstance(content, dict) and str(content.get("train")).startswith(
        ("coco:", "voc:", "yolo:", "hf-datasets:")
    )
    if isinstance(content, dict) and not ours and content.keys() & {"names", "nc"}:
        raise DataError(f"{path} is a data.yaml of YOLO's labels.\nWrite yolo:{path}")
    if isinstance(content, dict) and (unknown := sorted(map(str, set(content) - {*_FIELDS}))):
        near = did_you_mean(unknown[0], _FIELDS)
        raise DataError(f"{path} has an unknown field {unknown[0]!r}.{near}\nKnown: {fields}.")
    if not isinstance(content, dict) or "train" not in content:
        raise DataError(f"{path} has no field 'train'.\nKnown: {fields}.")
    sources = {}
    for name in _SPLITS:
        if name in content:
            words = content[name] if isinstance(content[name], list) else [content[name]]
            if not words or not all(isinstance(word, str) for word in words):
                raise DataError(f"{path}: {name} must be {_ONE_SPLIT}, or a list of them.")
            sources[name] = [_one(word, path.parent) for word in words]
    return sources, _yaml_classes(path, content.get("classes"))


def _yaml_classes(path: Path, classes: Any) -> tuple[str, ...] | None:
    if classes is None:
        return None
    if not isinstance(classes, list) or not classes or not all(isinstance(c, str) for c in classes):
        raise DataError(f"{path}: classes must be a list of names, such as classes: [cat, dog].")
    if len(set(classes)) < len(classes):
        twice = next(name for name in classes if classes.count(name) > 1)
        raise DataError(f"{path}: classes contains {twice!r} twice.\nWrite each class once, in the order of its label.")
    return tuple(classes)
