"""Pascal VOC's folder of XML, read leniently: what is sound is kept, all that is not is reported."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from adept_training.downstream.objects import Collector, file_below, size_fault
from adept_training.downstream.problems import Problem
from adept_training.downstream.records import Split
from adept_training.images import IMAGE_SUFFIXES


def set_names(folder: Path) -> list[str]:
    """The names of the folder's image sets, ``ImageSets/Main/*.txt``."""
    return sorted(path.stem for path in (folder / "ImageSets" / "Main").glob("*.txt"))


def class_names(folder: Path, sets: list[str]) -> set[str]:
    """The classes that occur in the annotations of these sets."""
    found: set[str] = set()
    for stem in {stem for name in sets for stem in _stems(folder, name)}:
        root = _parse(folder / "Annotations" / f"{stem}.xml")
        if isinstance(root, ElementTree.Element):
            names = {(element.findtext("name") or "").strip() for element in root.iter("object")}
            found |= names - {""}
    return found


def read_voc(folder: Path, set_name: str, classes: tuple[str, ...], name: str, problems: list[Problem]) -> Split:
    """One image set of a VOC folder.

    VOC counts pixels from 1 and includes both edges: (xmin, ymin, xmax, ymax) becomes (xmin - 1, ymin - 1, xmax, ymax)
    in the continuous convention, so that an IoU is the devkit's own, with its +1.

    Args:
        folder: with Annotations, ImageSets and JPEGImages.
        set_name: a text file of ImageSets/Main, without its ending.
        classes: the declared classes; an object of another is a problem.
        name: of the split, in reports.
        problems: whatever is wrong is appended here, and left out of the split.
    """
    images = []
    seen: set[str] = set()
    label = {class_name: i + 1 for i, class_name in enumerate(classes)}
    for stem in _stems(folder, set_name):
        if stem in seen:
            problems.append(Problem("duplicate-image-id", name, f"image {stem}", f"twice in {set_name}.txt"))
            continue
        seen.add(stem)
        collector = _image(folder, stem, label, name, problems)
        if collector is not None:
            images.append(collector.finish(with_masks=False))
    return Split(name, tuple(images), classes, tuple(range(1, len(classes) + 1)))


def _image(folder: Path, stem: str, label: dict[str, int], name: str, problems: list[Problem]) -> Collector | None:
    annotation = file_below(folder / "Annotations", f"{stem}.xml")
    if annotation is None:
        problems.append(Problem("path-outside-folder", name, f"image {stem}"))
        return None
    root = _parse(annotation)
    if isinstance(root, str):
        problems.append(Problem("unreadable-annotations", name, f"image {stem}", root))
        return None
    sides = [_number(root.findtext(f"size/{side}")) for side in ("width", "height")]
    if fault := size_fault(*sides):
        problems.append(Problem(fault[0], name, f"image {stem}", fault[1]))
        return None
    width, height = (int(side) for side in sides if isinstance(side, int))
    collector = Collector(name, stem, _find(folder / "JPEGImages", stem, root), width, height, problems)
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
    path = folder / "ImageSets" / "Main" / f"{set_name}.txt"
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    return [line.split()[0] for line in lines if line.strip()]


def _parse(path: Path) -> ElementTree.Element | str:
    """The root element, or why there is none."""
    try:
        return ElementTree.fromstring(path.read_bytes())
    except OSError as error:
        return f"{path.name}: {error.strerror}"
    except (ElementTree.ParseError, ValueError, LookupError) as error:  # LookupError: an unknown encoding
        return f"{path.name}: {error}"[:100]


def _find(folder: Path, stem: str, root: ElementTree.Element) -> Path:
    """The image of ``stem``; VOC's is a .jpg, others' may have any ending, or the name written in the XML."""
    for suffix in (".jpg", *IMAGE_SUFFIXES):
        if (folder / f"{stem}{suffix}").is_file():
            return folder / f"{stem}{suffix}"
    written = file_below(folder, Path((root.findtext("filename") or "").strip()).name)
    return written if written is not None and written.is_file() else folder / f"{stem}.jpg"


def _number(text: str | None) -> int | float | str | None:
    try:
        value = float(text or "")
    except ValueError:
        return text
    return int(value) if value.is_integer() else value
