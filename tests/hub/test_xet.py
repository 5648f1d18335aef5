"""hf_xet writes a file by itself; how much it may write is ours to say."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from adept_hub.errors import DownloadError, IntegrityError
from adept_hub.hub import download, xet
from adept_hub.hub.cache import RepoCache
from adept_hub.hub.download import Announced
from adept_hub.hub.errors import TRANSPORT

FILE = Announced("org/small", "model.safetensors", "http://127.0.0.1:9", "0" * 64, "0" * 40, 1000, xet=object())


class Clock:
    """The clock of the fetch, which goes only when a test says so; it counts how often it is looked at."""

    def __init__(self) -> None:
        self.now, self.looks = 1000.0, 0

    def monotonic(self) -> float:
        self.looks += 1
        return self.now


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RepoCache:
    monkeypatch.setattr(download, "has_xet", lambda: True)
    return RepoCache("org/small", tmp_path / "cache")


def test_a_storage_that_sends_without_end_is_stopped(cache: RepoCache, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped, written = threading.Event(), []

    def endless(*, incomplete_path: Path, **_: object) -> None:
        with incomplete_path.open("ab") as stream:
            while not stopped.is_set() and len(written) < 2000:
                written.append(stream.write(bytes(100)))
                stream.flush()
                time.sleep(0.005)

    monkeypatch.setattr(xet, "xet_get", endless)
    monkeypatch.setattr(xet, "_abort", stopped.set)
    with pytest.raises(IntegrityError, match="more bytes than the 1,000 announced"):
        download.download(FILE, cache, False, limit=10_000)
    assert stopped.is_set()
    assert len(written) < 1000
    assert not list((cache.folder / "blobs").iterdir())


@pytest.mark.parametrize(("size", "error"), [(999, "SHA-256"), (1001, "more bytes"), (1000, "SHA-256")])
def test_what_it_wrote_is_counted_and_verified(cache: RepoCache, monkeypatch, size: int, error: str) -> None:
    monkeypatch.setattr(xet, "xet_get", lambda *, incomplete_path, **_: incomplete_path.write_bytes(bytes(size)))
    with pytest.raises((IntegrityError, DownloadError), match=error):
        download.download(FILE, cache, False, limit=10_000)
    assert not list((cache.folder / "blobs").iterdir())


def test_its_own_error_is_the_error(cache: RepoCache, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise OSError("no such storage")

    monkeypatch.setattr(xet, "xet_get", refuse)
    with pytest.raises(TRANSPORT, match="no such storage"):
        download.download(FILE, cache, False, limit=10_000)


@pytest.mark.parametrize(("rate", "ends"), [("", True), ("0", False)])
def test_a_storage_that_stalls_is_not_waited_for(cache: RepoCache, monkeypatch, rate: str, ends: bool) -> None:
    stopped, clock, writes = threading.Event(), Clock(), []

    def stall(*, incomplete_path: Path, **_: object) -> None:
        for byte in range(4):  # each write is within the time
            with incomplete_path.open("r+b") as stream:
                stream.seek(900)
                stream.write(bytes([byte]))
            writes.append(byte)
            looks = clock.looks
            clock.now += 40
            while ends and clock.looks < looks + 3:
                time.sleep(0.01)
        clock.now += 61
        stopped.wait(60 if ends else 0.5)

    monkeypatch.setattr(xet, "xet_get", stall)
    monkeypatch.setattr(xet, "_abort", stopped.set)
    monkeypatch.setattr(download, "STALLED", 60.0)
    monkeypatch.setattr(xet, "time", clock)
    monkeypatch.setenv("ADEPT_MIN_DOWNLOAD_RATE", rate)
    with pytest.raises((DownloadError, IntegrityError)) as caught:
        download.download(FILE, cache, False, limit=10_000)
    assert ("Xet transferred no data for 60 s" in str(caught.value)) is ends
    assert stopped.is_set() is ends
    assert writes == [0, 1, 2, 3]
