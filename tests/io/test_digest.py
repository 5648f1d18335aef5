"""A file is read once, and any change of it is noticed."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from adept_hub.checkpoint.folder import read_config
from adept_hub.errors import CheckpointError, DiskFullError, IntegrityError
from adept_hub.io import digest
from adept_hub.io.digest import home_of, sha256_file, verify
from adept_hub.registry import BUNDLED

CONTENT = b"weights" * 1000
SHA = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    return path


def test_sha256_of_a_known_text(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")  # FIPS 180-2, appendix B.1
    assert sha256_file(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_an_unchanged_file_is_read_once(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    verify(file, SHA, len(CONTENT))
    monkeypatch.setattr(digest, "sha256_file", lambda path: pytest.fail("was read again"))
    verify(file, SHA, len(CONTENT))


def test_force_reads_it_again(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    verify(file, SHA, len(CONTENT))
    monkeypatch.setattr(digest, "sha256_file", lambda path: "0" * 64)
    with pytest.raises(IntegrityError):
        verify(file, SHA, len(CONTENT), force=True)


@pytest.mark.parametrize("change", [lambda c: c[:-1], lambda c: c + b"x", lambda c: b"", lambda c: b"W" + c[1:]])
def test_truncated_extended_emptied_and_flipped_files_are_refused(file: Path, change) -> None:
    verify(file, SHA, len(CONTENT))
    stat = file.stat()
    file.write_bytes(change(CONTENT))
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # a careful forger
    with pytest.raises(IntegrityError, match="Replace it by a complete copy") as caught:
        verify(file, SHA, len(CONTENT))
    assert str(file) in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 3


def test_a_file_swapped_for_another_under_the_same_name_is_refused(file: Path, tmp_path: Path) -> None:
    verify(file, SHA, len(CONTENT))
    other = tmp_path / "other"
    other.write_bytes(b"W" + CONTENT[1:])
    stat = file.stat()
    os.utime(other, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    other.replace(file)
    with pytest.raises(IntegrityError):
        verify(file, SHA, len(CONTENT))


def test_memory_that_cannot_be_written_or_read_costs_a_second_reading_only(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where a folder is wanted")
    monkeypatch.setenv("ADEPT_CACHE", str(blocked))
    verify(file, SHA, len(CONTENT))
    verify(file, SHA, len(CONTENT))


def test_a_full_disk_costs_a_second_reading_only(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextlib.contextmanager
    def full(target: Path) -> Iterator[Path]:
        raise DiskFullError(f"No space left while writing {target}")
        yield target

    monkeypatch.setattr(digest, "atomic_file", full)
    verify(file, SHA, len(CONTENT))


def test_a_damaged_memory_is_not_believed(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    verify(file, SHA, len(CONTENT))
    for stamp in (digest.cache_dir() / "verified").iterdir():
        stamp.write_bytes(b"\xff\xfe")
    verify(file, SHA, len(CONTENT))
    with pytest.raises(IntegrityError):
        verify(file, "1" * 64, len(CONTENT))


def test_an_installer_may_link_the_files_of_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundled = next(BUNDLED.iterdir())
    assert home_of(bundled / "config.json") is None
    installed = tmp_path / "site" / "adept_hub"
    (installed / "bundled" / bundled.name).mkdir(parents=True)
    for file in bundled.iterdir():
        (installed / "bundled" / bundled.name / file.name).symlink_to(file)
    with pytest.raises(CheckpointError, match="outside"):
        read_config(installed / "bundled" / bundled.name)
    monkeypatch.setattr(digest, "__file__", str(installed / "io" / "digest.py"))
    assert read_config(installed / "bundled" / bundled.name) == read_config(bundled)
