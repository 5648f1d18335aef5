"""Outputs appear whole or not at all, on a full disk too."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from adept_hub.errors import DiskFullError, OutputExistsError
from adept_hub.io.write import append_line, atomic_file, atomic_folder


def _write_and_fail(path: Path) -> None:
    path.write_text("half")
    raise LookupError("of the caller's own")


def test_a_file_appears_at_the_end(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "file.txt"
    with atomic_file(target) as temporary:
        temporary.write_text("new")
        assert not target.exists()
    assert target.read_text() == "new"
    assert [p.name for p in target.parent.iterdir()] == ["file.txt"]


def test_a_failure_keeps_the_old_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "file.txt"
    target.write_text("old")
    with pytest.raises(LookupError), atomic_file(target) as temporary:
        _write_and_fail(temporary)
    with pytest.raises(DiskFullError, match="cannot be written: Is a directory"), atomic_file(target) as temporary:
        temporary.parent.write_text("a folder is no file")
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file.txt"]


def test_a_folder_appears_at_the_end_and_replaces_only_when_told(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with atomic_folder(target) as temporary:
        (temporary / "a").write_text("1")
        assert not target.exists()
    with pytest.raises(OutputExistsError, match="rm -r"), atomic_folder(target):
        pass
    with atomic_folder(target, overwrite=True) as temporary:
        (temporary / "b").write_text("2")
    assert [p.name for p in target.iterdir()] == ["b"]
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_an_empty_folder_is_no_obstacle_and_a_failed_replacement_keeps_the_old(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.mkdir()
    with atomic_folder(target) as temporary:
        (temporary / "a").write_text("1")
    with pytest.raises(LookupError), atomic_folder(target, overwrite=True) as temporary:
        _write_and_fail(temporary / "b")
    assert [p.name for p in target.iterdir()] == ["a"]
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_permissions_are_those_of_an_ordinary_file(tmp_path: Path) -> None:
    (tmp_path / "ordinary").write_text("")
    with atomic_file(tmp_path / "file") as temporary:
        temporary.write_text("")
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "ordinary").stat().st_mode


def test_what_a_careful_writer_keeps_to_itself_is_readable_in_the_end(tmp_path: Path) -> None:
    (tmp_path / "ordinary").write_text("")
    with atomic_folder(tmp_path / "folder") as temporary:
        (temporary / "inner").mkdir(mode=0o700)
        (temporary / "inner" / "weights").touch(mode=0o600)
    inner = tmp_path / "folder" / "inner"
    assert (inner / "weights").stat().st_mode == (tmp_path / "ordinary").stat().st_mode
    assert inner.stat().st_mode == tmp_path.joinpath("folder").stat().st_mode


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_place_that_may_not_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(DiskFullError, match="cannot be written"), atomic_file(tmp_path / "file"):
        pass


CHECKPOINT_INTO = """
import sys, torch
from pathlib import Path
from adept_hub.checkpoint.folder import write_checkpoint
from adept_hub.errors import DiskFullError
from adept_hub.models import DetectorParts
from adept_hub.spec import DetectorSpec, PARTS, Provenance
spec = DetectorSpec(depth=18, fpn_channels=32, head_conv_channels=32, head_fc_channels=64)
try:
    write_checkpoint(Path(sys.argv[1]), DetectorParts(spec).state_dict(), name="a_b.c", spec=spec, license="mit",
                     provenance=Provenance("soco", "d", 1, 1.0, "target"), parts=PARTS)
except DiskFullError as error:
    assert 1 <= len(str(error).splitlines()) <= 3, error
    sys.exit(77)
"""


def _limit_file_size() -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))


def test_a_checkpoint_that_does_not_fit_leaves_nothing_under_its_name(tmp_path: Path) -> None:
    """The kernel refuses to let a file grow beyond 1 MB, as a quota does; the checkpoint has 45 MB."""
    done = subprocess.run(
        [sys.executable, "-c", CHECKPOINT_INTO, str(tmp_path / "ckpt")],
        preexec_fn=_limit_file_size,  # nothing else runs in the child before exec
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 77, done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="needs to mount a small file system")
def test_a_full_disk_leaves_nothing_under_the_name(tmp_path: Path) -> None:
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(tmp_path)], check=False)
    if mounted.returncode:
        pytest.skip("this machine mounts nothing")
    try:
        command = [sys.executable, "-c", CHECKPOINT_INTO, str(tmp_path / "ckpt")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 77, done.stderr
        assert list(tmp_path.iterdir()) == []
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


@pytest.mark.parametrize(
    ("before", "after"),
    [(None, "new\n"), ("", "new\n"), ("one\n", "one\nnew\n"), ("one\nto", "one\nto\nnew\n"), ("\n", "\nnew\n")],
)
def test_a_line_is_appended_whole_also_behind_a_torn_one(before: str | None, after: str, tmp_path: Path) -> None:
    path = tmp_path / "log" / "runs.jsonl"
    if before is not None:
        path.parent.mkdir()
        path.write_text(before)
    append_line(path, "new")
    assert path.read_text() == after


def test_what_a_link_in_a_new_folder_points_to_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").touch(mode=0o600)
    (tmp_path / "mine").chmod(0o640)
    with atomic_folder(tmp_path / "new") as folder:
        (folder / "link").symlink_to(tmp_path / "mine")
        (folder / "broken").symlink_to(tmp_path / "nowhere")
    assert (tmp_path / "mine").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "new" / "link").is_symlink()
