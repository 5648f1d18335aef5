"""Fetching from a Hub that is busy, slow, down or lying, and beside other processes."""

from __future__ import annotations

import time

import pytest

import adept_hub
from adept_hub.checkpoint.folder import WEIGHTS
from adept_hub.errors import DownloadError, IntegrityError
from adept_hub.hub.fetch import FetchOptions, fetch
from tests.hub.fetching import cache_of, fails, fetch_and_read, flip
from tests.hub.loopback import Hub
from tests.hub.processes import Fetching


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_hub_is_asked_again(hub: Hub, published, options: FetchOptions, status: int) -> None:
    hub.fault("HEAD /org/small", status=status, times=2)
    fetch("hf-hub:org/small", options)


@pytest.mark.parametrize(("status", "message"), [(429, "too many requests"), (502, "returned 502")])
def test_a_hub_that_stays_busy_is_an_error(
    hub: Hub, published, options: FetchOptions, monkeypatch, status: int, message: str
) -> None:
    hub.fault("/org/small", status=status, times=1000)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)  # the client's patience, not the client
    assert message in fails(DownloadError, "hf-hub:org/small", options)


def test_a_hub_that_is_down_and_a_branch_in_the_cache(
    hub: Hub, published, options: FetchOptions, caplog: pytest.LogCaptureFixture
) -> None:
    fetch("hf-hub:org/small", options)
    hub.fault("/org/small", status=503, times=1000)
    fetch("hf-hub:org/small", options)
    assert "cannot be reached" in caplog.text
    assert "from the cache" in caplog.text


def test_no_server_at_all(options: FetchOptions) -> None:
    nobody = "http://127.0.0.1:9"  # the discard port
    told = Fetching("hf-hub:org/small", cache_of(options), HF_ENDPOINT=nobody, IMPATIENT="1").outcome().splitlines()
    assert told[0].startswith("DownloadError: org/small is not in the cache and could not be fetched from " + nobody)
    assert "Connection refused" in told[0]
    assert "HF_ENDPOINT and the proxy" in told[1]


def test_a_cut_connection_is_resumed_where_it_was_cut(hub: Hub, published, options: FetchOptions) -> None:
    _, _, folder = published
    hub.fault("GET /cdn/", cut_after=11 << 20)
    fetched = fetch("hf-hub:org/small", options)
    assert (fetched.folder / WEIGHTS).read_bytes() == (folder / WEIGHTS).read_bytes()
    ranges = [headers.get("range", headers.get("Range")) for line, headers in hub.seen if line.startswith("GET /cdn/")]
    assert len(ranges) == 2
    assert int(ranges[1].removeprefix("bytes=").rstrip("-")) > 0


def test_a_slow_hub_is_waited_for(hub: Hub, published, options: FetchOptions) -> None:
    hub.fault("GET /cdn/", wait=1.0)
    fetch("hf-hub:org/small", options)


def test_a_corrupt_body_of_the_right_length_is_not_kept(hub: Hub, published, options: FetchOptions) -> None:
    hub.fault("GET /cdn/", change=flip)
    assert "it was discarded" in fails(IntegrityError, "hf-hub:org/small", options)
    assert not list(cache_of(options).glob(f"models--*/snapshots/*/{WEIGHTS}"))
    hub.fault("GET /cdn/", change=flip)
    with pytest.raises(IntegrityError):
        adept_hub.load_pretrained("hf-hub:org/small", cache_dir=options.cache_dir)
    assert len(fetch_and_read("hf-hub:org/small", options)) == 200


def test_what_a_killed_process_had_received_is_gone_on_with(hub: Hub, published, options: FetchOptions) -> None:
    cache = cache_of(options)
    hub.fault("GET /cdn/", cut_after=15 << 20)
    hub.fault("GET /cdn/", wait=60.0)  # the resumed request hangs
    fetching = Fetching("hf-hub:org/small", cache)
    deadline = time.monotonic() + 60
    while len(hub.requests("GET /cdn/")) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    fetching.process.kill()
    fetching.process.join()
    (partial,) = cache.glob("models--org--small/blobs/*.partial")
    received = partial.stat().st_size
    assert received >= 10 << 20
    assert not list(cache.glob(f"models--org--small/snapshots/*/{WEIGHTS}"))
    hub.seen.clear()
    assert len(fetch_and_read("hf-hub:org/small", options)) == 200
    assert [headers.get("range", headers.get("Range")) for line, headers in hub.seen if "GET /cdn/" in line] == [
        f"bytes={received}-"
    ]
    assert not partial.exists()


def test_a_damaged_rest_of_a_killed_process_is_thrown_away(hub: Hub, published, options: FetchOptions) -> None:
    _, config, _ = published
    blobs = cache_of(options) / "models--org--small" / "blobs"
    blobs.mkdir(parents=True)
    for rest in (b"rubbish", bytes(config.size + 1)):
        (blobs / f"{config.sha256}.partial").write_bytes(rest)
        if len(rest) < config.size:
            fails(IntegrityError, "hf-hub:org/small", options)
    assert len(fetch_and_read("hf-hub:org/small", options)) == 200


def test_eight_processes_at_once_download_it_once(hub: Hub, published, options: FetchOptions) -> None:
    hub.fault("GET /cdn/", wait=0.5)  # so that they meet
    fetching = [Fetching("hf-hub:org/small", cache_of(options)) for _ in range(8)]
    assert [one.outcome() for one in fetching] == ["200"] * 8
    assert len(hub.requests("GET /cdn/")) == 1
