"""Partial files belong to one process each, and the cache is laid out as the client has it."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path

import pytest
from huggingface_hub import constants, try_to_load_from_cache

from adept_hub.checkpoint.folder import CONFIG, WEIGHTS
from adept_hub.errors import IntegrityError
from adept_hub.hub import cache as hub_cache
from adept_hub.hub.cache import RepoCache
from adept_hub.hub.fetch import FetchOptions, fetch
from tests.hub.loopback import Hub

ETAG = "0" * 64


@pytest.fixture
def cache(tmp_path: Path) -> RepoCache:
    made = RepoCache("org/small", tmp_path / "cache")
    (made.folder / "blobs").mkdir(parents=True)
    return made


def test_two_at_once_write_to_two_files(cache: RepoCache) -> None:
    with cache.partial(ETAG, resume=True) as (one, first), cache.partial(ETAG, resume=True) as (two, second):
        first.write(b"one")
        second.write(b"two")
        assert one != two
    assert {one.read_bytes(), two.read_bytes()} == {b"one", b"two"}


def test_what_is_left_is_taken_over_once(cache: RepoCache) -> None:
    with cache.partial(ETAG, resume=True) as (left, stream):
        stream.write(b"left")
    with cache.partial(ETAG, resume=True) as (taken, stream), cache.partial(ETAG, resume=True) as (_, other):
        assert (stream.tell(), other.tell()) == (4, 0)
        assert not left.exists()
        assert taken.read_bytes() == b"left"


def test_a_download_that_is_forced_begins_anew(cache: RepoCache) -> None:
    with cache.partial(ETAG, resume=True) as (_, stream):
        stream.write(b"left")
    with cache.partial(ETAG, resume=False) as (_, stream):
        assert stream.tell() == 0


def test_what_is_proven_wrong_is_not_kept(cache: RepoCache) -> None:
    with pytest.raises(IntegrityError), cache.partial(ETAG, resume=True) as (wrong, _):
        raise IntegrityError("wrong")
    assert not wrong.exists()


def test_without_a_lock_that_works_nothing_is_mixed(hub: Hub, published, tmp_path: Path, monkeypatch) -> None:
    """On some network file systems a lock locks nothing: then a file is downloaded twice, and is right."""
    monkeypatch.setattr(hub_cache, "WeakFileLock", lambda path: contextlib.nullcontext())
    hub.fault("GET /cdn/", wait=0.5, times=9)  # so that they meet
    options = FetchOptions(cache_dir=tmp_path / "cache")
    threads = [threading.Thread(target=fetch, args=("hf-hub:org/small", options)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    fetched = fetch("hf-hub:org/small", options)
    assert (fetched.folder / WEIGHTS).read_bytes() == (published[2] / WEIGHTS).read_bytes()
    assert not list((tmp_path / "cache").rglob("*.partial"))
    assert len(hub.requests("GET /cdn/")) == 3


@pytest.mark.parametrize("links", [True, False])
def test_the_client_finds_what_was_put_there(hub: Hub, published, tmp_path: Path, monkeypatch, links: bool) -> None:
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_SYMLINKS", not links, raising=False)
    fetched = fetch("hf-hub:org/small@main", FetchOptions(cache_dir=tmp_path / "cache"))
    for revision in ("main", published[0]):
        for name in (CONFIG, WEIGHTS):
            found = try_to_load_from_cache("org/small", name, cache_dir=tmp_path / "cache", revision=revision)
            assert found == str(fetched.folder / name)
    assert (fetched.folder / WEIGHTS).is_symlink() == links
    hub.log.clear()
    fetch("hf-hub:org/small", FetchOptions(cache_dir=tmp_path / "cache"))
    assert not hub.requests("GET ")


def test_a_cache_that_cannot_be_written_is_read(hub: Hub, published, tmp_path: Path, monkeypatch) -> None:
    fetched = fetch("hf-hub:org/small@main", FetchOptions(cache_dir=tmp_path / "cache"))

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "cache" / "models--org--small" / "refs" / "main").write_text("0" * 40)
    monkeypatch.setattr(hub_cache, "atomic_file", refuse)
    monkeypatch.setattr(Path, "mkdir", refuse)
    assert fetch("hf-hub:org/small@main", FetchOptions(cache_dir=tmp_path / "cache")).folder == fetched.folder


@pytest.mark.parametrize("copies", [False, True])
def test_a_snapshot_holds_nothing_under_another_name(copies: bool, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_SYMLINKS", copies, raising=False)
    cache = RepoCache("org/small", tmp_path)
    (cache.folder / "blobs").mkdir(parents=True)
    for etag in ("a" * 40, "b" * 40):
        cache.blob(etag).write_text(etag)
    removed: list[Path] = []
    replace = Path.replace
    monkeypatch.setattr(Path, "replace", lambda path, target: removed.append(path) or replace(path, target))
    for etag in ("a" * 40, "a" * 40, "b" * 40):  # made, found, and of other content
        path = cache.link("c" * 40, "config.json", etag)
        assert path.read_text() == etag
        assert path.is_symlink() is not copies
    assert [one.name for one in path.parent.iterdir()] == ["config.json"]
    # A link is made under its name; what a killed process leaves of a copy is found by `adept_hub.atomic`.
    assert all(".adept-tmp-" in one.name for one in removed)
    assert bool(removed) is copies


def test_a_link_to_other_content_is_not_the_file(tmp_path: Path) -> None:
    """Of an older download under the same commit; a copy, where links do not work, is taken as it is."""
    cache = RepoCache("org/small", tmp_path)
    for etag in ("a" * 40, "b" * 40):
        with cache.locked(etag):
            cache.blob(etag).write_text(etag)
    path = cache.link("c" * 40, "config.json", "a" * 40)
    assert cache.pointer("c" * 40, "config.json", "a" * 40) == path
    assert cache.pointer("c" * 40, "config.json", "b" * 40) is None
    path.unlink()
    path.write_text("a copy")
    assert cache.pointer("c" * 40, "config.json", "b" * 40) == path
