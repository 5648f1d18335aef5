"""Commands that leave several files, killed between any two of them: never half a result, never one of two runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from adept_hub.cli.main import main
from adept_hub.errors import DataError, DiskFullError
from adept_training.labels import part_files
from adept_training.labels.part_files import is_written, pair_files, write_files
from adept_training.labels.records import Split
from tests.hostile.kills import KILLS, adept, files_of, leavings, moments, run
from tests.training.conftest import write_voc
from tests.training.made import image


def test_a_subset_appears_whole_or_not_at_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    voc = write_voc(tmp_path / "voc", images=3)
    home = tmp_path / "home"
    home.mkdir()
    words = ("data", "subset", f"voc:{voc}", "--labels", "3img", "--seed", "5", "--out", str(home / "few"))
    whole = run(adept, *words, below=home)
    assert whole.status == 0, whole.output
    expected = files_of(home / "few")
    assert sorted(expected) == ["annotations.json", "subset.json"]
    assert f"coco:{home / 'few' / 'annotations.json'}:" in whole.output
    assert main(list(words)) == 1, "one that is there is left alone"
    assert "few already exists" in capsys.readouterr().err
    (home / "few").rename(tmp_path / "kept")
    for at in moments(whole.changes, max(KILLS, 3)):
        dead = run(adept, *words, below=home, at=at)
        assert dead.killed, dead.output
        if (home / "few").exists():
            assert files_of(home / "few") == expected, at
            (home / "few").rename(tmp_path / f"killed{at}")
        assert run(adept, *words, below=home).status == 0
        assert (files_of(home / "few"), leavings(home)) == (expected, [])
        (home / "few").rename(tmp_path / f"again{at}")


def split_of_parts() -> Split:
    from adept_training.labels.identity import Part

    parts = tuple(Part(n, f"part {n}", Path(), (11,)) for n in (1, 2, 3))
    images = tuple(image("same", [[0, 0, 9, 9]], [1], part=n) for n in (1, 2, 3))
    return Split("joined", images, ("class 1",), parts, apart=True)


def write(path: Path, word: str) -> None:
    write_files(path, [f"{word} {n}" for n in (1, 2, 3)])


def test_parts_are_those_of_one_run_or_are_refused(tmp_path: Path) -> None:
    split = split_of_parts()
    whole = run(write, tmp_path / "whole" / "found.json", "new", below=tmp_path / "whole")
    refused = 0
    for at in range(whole.changes):
        path = tmp_path / f"killed{at}" / "found.json"
        write(path, "old")
        assert run(write, path, "new", below=path.parent, at=at).killed
        try:
            texts = [file.read_text().split() for file, _ in pair_files([path], split)]
        except DataError:
            refused += 1
            assert len(files_of(path.parent)) < 8
        else:
            assert [n for _, n in texts] == ["1", "2", "3"]
            assert len({word for word, _ in texts}) == 1, texts
        write(path, "new")
        assert [file.read_text() for file, _ in pair_files([path], split)] == ["new 1", "new 2", "new 3"]
    assert refused, "between the first and the last"


def test_a_part_that_cannot_be_written_leaves_the_earlier_ones(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "found.json"
    write(path, "old")
    original = part_files.atomic_file

    def fail(target: Path):
        if target.name == "found.part3.json":
            raise OSError(28, "No space left on device")
        return original(target)

    monkeypatch.setattr(part_files, "atomic_file", fail)
    with pytest.raises(DiskFullError, match="No space"):
        write(path, "new")
    assert files_of(tmp_path) == {f"found.part{n}.json": f"old {n}".encode() for n in (1, 2, 3)}
    assert is_written(path)
