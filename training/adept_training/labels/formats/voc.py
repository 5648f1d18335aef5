"""Read Pascal VOC's folder of XML leniently: keep sound records, report all others."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from xml.etree import ElementTree

from adept_hub.errors import DataError
from adept_hub.io.paths import is_dir, is_file
from adept_hub.io.read import BoundedReader
from adept_training.images import IMAGE_SUFFIXES
from adept_training.labels.identity import ImageKey, Part
from adept_training.labels.objects import Collector, name_below, size_fault
from adept_training.labels.problems import LabelProblem
from adept_training.labels.records import Split

_READER = BoundedReader(DataError, limit=64 << 20)
_SUFFIXES = (".jpg", *IMAGE_SUFFIXES)


def set_names(folder: Path) -> list[str]:
    """Return the names of the folder's image sets, ``ImageSets/Main/*.txt``."""
    sets = folder / "ImageSets" / "Main"
    return sorted(path.stem for path in sets.glob("*.txt")) if is_dir(sets) else []


def image_folder(folder: Path) -> Path:
    """Return the image folder of a VOC folder."""
    return folder / "JPEGImages"


def class_names(folder: Path, sets: list[str]) -> set[str]:
    """Return the classes that occur in the annotations of these sets."""
    classes: set[str] = set()
    for stem in {stem for name in sets for stem in _stems(folder, name)}:
        annotation = name_below(folder / "Annotations", f"{stem}.xml")
        root = "" if annotation is None else _parse(folder / "Annotations" / annotation)
        if isinstance(root, ElementTree.Element):
            names = {(element.findtext("name") or "").strip() for element in root.iter("object")}
            classes |= names - {""}
    return classes


def read_voc(
    folder: Path, set_name: str, part: Part, classes: tuple[str, ...], name: str, problems: list[LabelProblem]
) -> Split:
    """Read one image set of a VOC folder.

    VOC counts pixels from 1 and includes both edges: (xmin, ymin, xmax, ymax) becomes (xmin - 1, ymin - 1, xmax, ymax)
    in the continuous convention, so that an IoU is the devkit's own, with its +1.

    Args:
        folder: with Annotations, ImageSets and JPEGImages.
        set_name: a text file of ImageSets/Main, without its suffix.
        part: part of the data set; its folder is `image_folder`.
        classes: the declared classes; an object of another is a problem.
        name: name of the split in reports.
        problems: problems are appended here, and left out of the split.
    """
    images = []
    seen: set[str] = set()
    files: dict[str, str] = {}
    label = {class_name: i + 1 for i, class_name in enumerate(classes)}
    finder = _Finder(part.folder)
    for stem in _stems(folder, set_name):
        if stem in seen:
            problems.append(LabelProblem("duplicate-image-id", name, f"image {stem}", f"twice in {set_name}.txt"))
            continue
        seen.add(stem)
        collector = _image(folder, stem, part, finder, label, name, problems)
        if collector is None:
            continue
        if (other := files.setdefault(collector.file_name, stem)) != stem:
            detail = f"{collector.file_name}, as image {other}"
            problems.append(LabelProblem("duplicate-image-file", name, f"image {stem}", detail))
            continue
        images.append(collector.finish(with_masks=False))
    part = Part(part.number, part.source, part.folder, tuple(range(1, len(classes) + 1)))
    return Split(name, tuple(images), classes, (part,))


def _image(
    folder: Path, stem: str, part: Part, finder: _Finder, label: dict[str, int], name: str, problems: list[LabelProblem]
) -> Collector | None:
    annotation = name_below(folder / "Annotations", f"{stem}.xml")
    if annotation is None:
        problems.append(LabelProblem("path-outside-folder", name, f"image {stem}"))
        return None
    root = _parse(folder / "Annotations" / annotation)
    if isinstance(root, str):
        problems.append(LabelProblem("unreadable-annotations", name, f"image {stem}", root))
        return None
    sides = [_number(root.findtext(f"size/{side}")) for side in ("width", "height")]
    if fault := size_fault(*sides):
        problems.append(LabelProblem(fault[0], name, f"image {stem}", fault[1]))
        return None
    width, height = (int(side) for side in sides if isinstance(side, int))
    file_name = finder.find(annotation.removesuffix(".xml"), root)
    key = ImageKey(part.number, stem)
    collector = Collector(name, key, part.folder / file_name, file_name, width, height, problems)
    for at, element in enumerate(root.iter("object"), start=1):
        where, class_name = f"object {at}", (element.findtext("name") or "").strip()
        if class_name not in label:
            collector.note("unknown-category", where, repr(class_name)[:60])
            continue
        corners = [_number(element.findtext(f"bndbox/{edge}")) for edge in ("xmin", "ymin", "xmax", "ymax")]
        if all(isinstance(corner, (int, float)) for corner in corners):
            corners = [float(corners[0]) - 1, float(corners[1]) - 1, *corners[2:]]  # type: ignore[arg-type]  # checked above
        difficult = _number((element.findtext("difficult") or "0").strip())
        collector.add(where, corners, label[class_name], difficult=difficult)
    return collector


def _stems(folder: Path, set_name: str) -> list[str]:
    """Read the images of a set: a whole line if that file exists, else its first word, as in the sets of a class."""
    path = folder / "ImageSets" / "Main" / f"{set_name}.txt"
    # A stem in another encoding is a problem of its image, which is then missing.
    text = _READER.read(path).decode("utf-8-sig", "replace")
    stems = []
    for line in filter(None, map(str.strip, text.splitlines())):
        first, *rest = line.split()
        whole = name_below(folder / "Annotations", f"{line}.xml") if rest else None
        stems.append(line if whole is not None and is_file(folder / "Annotations" / whole) else first)
    return stems


def _parse(path: Path) -> ElementTree.Element | str:
    """Parse the root element; return the reason if there is none."""
    try:
        return _READER.xml(path)
    except DataError as error:
        return str(error)


@dataclass(frozen=True)
class _Finder:
    """The image files below a folder by stem; each subfolder is listed once."""

    folder: Path
    _listed: dict[str, dict[str, list[str]]] = field(default_factory=dict)

    def find(self, stem: str, root: ElementTree.Element) -> str:
        """Find the image of ``stem``, relative to the folder; VOC's is a .jpg, others may have any suffix in any case.

        Of several files the one named in the XML wins. A file of another name only counts if none has this stem: some
        tools number their annotations and keep the images' names.
        """
        # Some tools write the whole path, of any system.
        written = PureWindowsPath((root.findtext("filename") or "").strip()).name
        place = PurePosixPath(stem)
        names = self._names(place.parent.as_posix()).get(place.name, [])
        if not names and written and is_file(self.folder / place.parent / written):
            return (place.parent / written).as_posix()
        best = min(names, key=lambda name: (name != written, _rank(name)), default=f"{place.name}.jpg")
        return (place.parent / best).as_posix()

    def _names(self, below: str) -> dict[str, list[str]]:
        if below not in self._listed:
            listed = self._listed.setdefault(below, defaultdict(list))
            folder = self.folder / below
            for path in folder.iterdir() if folder.is_dir() else ():
                if path.suffix.lower() in _SUFFIXES:
                    listed[path.stem].append(path.name)
        return self._listed[below]


def _rank(name: str) -> tuple[int, str]:
    return _SUFFIXES.index(Path(name).suffix.lower()), name.swapcase()  # a.jpg before a.JPG


def _number(text: str | None) -> int | float | str | None:
    try:
        value = float(text or "")
    except ValueError:
        return text
    return int(value) if value.is_integer() else value
