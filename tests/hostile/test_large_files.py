"""What grows with the data may be larger than a file of settings may be, and is read all the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from adept_hub.io.read import MAX_SETTINGS
from tests.hostile import readers_data, readers_hub, readers_runs
from tests.hostile.property import Reader

#: Files with a row for each image, object, run, step, model or class.
GROWING = {
    "COCO", "detections", "subset", "VOC", "VOC set", "list", "image png", "image jpg", "log.jsonl", "runs.jsonl",
    "run.json of a fine-tuning", "detector.json", "models.json", "metrics.json", "README.md",
}  # fmt: skip
READERS = [*readers_data.READERS, *readers_hub.READERS, *readers_runs.READERS]
LARGE = [pair for pair in READERS if pair[1].name in GROWING]


@pytest.mark.parametrize("made", LARGE, indirect=True, ids=lambda pair: str(pair[1]))
def test_files_larger_than_settings_are_read(made: tuple[Reader, Path]) -> None:
    reader, folder = made
    before = reader.read(folder)
    path = folder / reader.file
    content = path.read_bytes()
    blank = bytes(MAX_SETTINGS) if reader.name.startswith("image") else b" " * MAX_SETTINGS
    # In a file of lines at the end of the last one, so that no line is added.
    path.write_bytes(content.rstrip(b"\n") + blank + b"\n" * content.endswith(b"\n"))
    try:
        assert reader.read(folder) == before
    finally:
        path.write_bytes(content)


def test_every_growing_file_has_a_reader() -> None:
    assert {pair[1].name for pair in LARGE} == GROWING
