"""A small YOLO data set written to disk, in Ultralytics' layout."""

from __future__ import annotations

from pathlib import Path

from tests.training.labels.written import picture

#: Three classes, in another order than the alphabet's.
NAMES = "names: [wolf, ant, no bird]\n"
#: Boxes of an image of 40 x 30: (4, 3, 20, 18) of class ant and (10, 12, 30, 27) of class wolf, in pixels.
TWO = "1 0.3 0.35 0.4 0.5\n0 0.5 0.65 0.5 0.5\n"


def write_yolo(folder: Path, labels: dict[str, str | None] | None = None, yaml: str = NAMES) -> Path:
    """Write ``images/SPLIT/NAME.png`` (40 x 30) and its labels by ``SPLIT/NAME``; None: no label file.

    Return the ``data.yaml``, whose paths are relative to it.
    """
    labels = labels or {f"{split}/{name}": TWO for split in ("train", "val", "test") for name in ("a 1", "b")}
    for at, (name, text) in enumerate(labels.items()):
        picture(folder / "images" / f"{name}.png", at)
        if text is not None:
            path = folder / "labels" / f"{name}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    splits = list(dict.fromkeys(name.split("/")[0] for name in labels))
    (folder / "data.yaml").write_text(yaml + "".join(f"{split}: images/{split}\n" for split in splits))
    return folder / "data.yaml"
