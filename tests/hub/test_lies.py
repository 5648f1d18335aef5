"""A Hub that lies: nothing that it announces becomes a path, and no byte beyond what it announces is kept."""

from __future__ import annotations

import logging
import re
import time
from pathlib import Path

import pytest

from adept_hub.checkpoint.folder import CARD, CONFIG, WEIGHTS
from adept_hub.errors import CheckpointError, DownloadError, IntegrityError, SourceError
from adept_hub.hub import answer as http_answer
from adept_hub.hub import download
from adept_hub.hub import errors as hub_errors
from adept_hub.hub import retries as patience
from adept_hub.hub.fetch import FetchOptions, fetch
from tests.hub import lies
from tests.hub.loopback import Hub

CONTENT_OF = {
    CONFIG: f"GET /org/small/resolve/.*/{CONFIG}",
    CARD: f"GET /org/small/resolve/.*/{CARD}",
    WEIGHTS: "GET /cdn/",
}
TOO_MANY = [lies.one_byte_too_many, lies.one_byte_too_many_in_chunks, lies.endless, lies.without_end_or_length]


@pytest.fixture
def options(tmp_path: Path) -> FetchOptions:
    return FetchOptions(cache_dir=tmp_path / "cache")


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that were waited between attempts, which nobody waits here."""
    waited: list[float] = []
    monkeypatch.setattr(patience.time, "sleep", waited.append)
    return waited


def fails(
    error: type[Exception] | tuple[type[Exception], ...], options: FetchOptions, source: str = "hf-hub:org/small"
) -> str:
    with pytest.raises(error) as caught:
        fetch(source, options)
    assert type(caught.value).__module__ == "adept_hub.errors"
    assert 1 <= len(str(caught.value).splitlines()) <= 3, caught.value
    return str(caught.value)


def kept(options: FetchOptions) -> int:
    """Bytes of partial and unnamed files in the cache."""
    files = [path for path in Path(str(options.cache_dir)).rglob("*") if path.is_file() and not path.is_symlink()]
    return sum(
        path.stat().st_size for path in files if path.suffix not in (".lock", ".TAG") and "refs" not in path.parts
    )


# --- what becomes a path -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("filename", [CONFIG, CARD, WEIGHTS])
@pytest.mark.parametrize(
    "etag", ["{}/owned.py", "../../../../owned", "a" * 39, "A" * 40, "0" * 41, "", "a" * 64 + "%0A"]
)
def test_an_etag_that_is_not_a_digest(
    hub: Hub, published, options: FetchOptions, tmp_path: Path, filename: str, etag: str
) -> None:
    etag = f'"{etag.format(tmp_path)}"'
    hub.fault(f"/org/small/resolve/.*/{filename}", announce={"ETag": etag, "X-Linked-Etag": etag}, times=99)
    assert "ETag" in fails(IntegrityError, options)
    assert not [path for path in tmp_path.rglob("*owned*") if "checkpoint" not in path.parts]
    assert not hub.requests(CONTENT_OF[filename])


@pytest.mark.parametrize("commit", ["../../../owned", "abc", "f" * 39, "F" * 40, "f" * 64, "/owned"])
def test_a_commit_that_is_none(hub: Hub, published, options: FetchOptions, tmp_path: Path, commit: str) -> None:
    hub.fault("/org/small/resolve/", announce={"X-Repo-Commit": commit}, times=99)
    assert "commit" in fails(IntegrityError, options)
    assert not list(tmp_path.rglob("*owned*"))


def test_a_pinned_commit_that_is_answered_with_another(hub: Hub, published, options: FetchOptions) -> None:
    hub.fault("/org/small/resolve/", announce={"X-Repo-Commit": "f" * 40}, times=99)
    assert "not the requested ones" in fails(IntegrityError, options, f"hf-hub:org/small@{published[0]}")


def test_the_second_answer_is_not_trusted_more_than_the_first(
    hub: Hub, published, options: FetchOptions, tmp_path: Path
) -> None:
    """What was checked is what is used: an ETag that changes between two requests for a file changes nothing."""
    hub.fault(f"/org/small/resolve/.*/{CONFIG}", times=1)  # the first is as it should be
    hub.fault(f"/org/small/resolve/.*/{CONFIG}", announce={"ETag": f'"{tmp_path}/owned"'}, times=99)
    fetch("hf-hub:org/small", options)
    assert not list(tmp_path.rglob("owned"))


def test_a_page_that_asks_for_a_login(hub: Hub, published, options: FetchOptions) -> None:
    """A network's login page answers 200 to everything, without a commit."""
    hub.fault("HEAD /org/small", status=200, headers={"ETag": '"' + "0" * 40 + '"'}, times=99)
    assert "does not respond like a Hub" in fails(DownloadError, options)


# --- what arrives --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lie", TOO_MANY)
@pytest.mark.parametrize("filename", [CONFIG, CARD, WEIGHTS])
def test_one_byte_too_many_ends_it(
    hub: Hub, published, options: FetchOptions, waits: list[float], filename: str, lie: lies.Lie
) -> None:
    hub.fault(CONTENT_OF[filename], lie=lie, times=99)
    hub.repos["org/small"].commits[published[0]].files[CARD] = b"a card " * 1000
    before = sum(len(content) for content in hub.repos["org/small"].commits[published[0]].files.values())
    assert "more bytes" in fails(IntegrityError, options)
    assert len(hub.requests(CONTENT_OF[filename])) == 1, "it was asked for again"
    assert waits == []
    assert kept(options) <= before
    assert not list(Path(str(options.cache_dir)).rglob("*.partial"))


@pytest.mark.parametrize("lie", [lies.endless, lies.without_end_or_length])
def test_no_size_announced_is_no_license_to_send_everything(
    hub: Hub, published, options: FetchOptions, lie: lies.Lie
) -> None:
    hub.fault(CONTENT_OF[CONFIG], lie=lie, times=99)
    hub.fault(f"HEAD /org/small/resolve/.*/{CONFIG}", announce={"X-Linked-Size": "unknown"}, times=99)
    assert "4,194,304" in fails(IntegrityError, options)
    assert kept(options) == 0


def test_a_gzip_bomb_is_not_unpacked(hub: Hub, published, options: FetchOptions) -> None:
    hub.fault(CONTENT_OF[CONFIG], lie=lies.gzip_bomb, times=99)
    assert "compressed" in fails(IntegrityError, options)
    assert kept(options) == 0


def test_no_compression_is_asked_for(hub: Hub, published, options: FetchOptions) -> None:
    fetch("hf-hub:org/small", options)
    asked = {
        headers.get("Accept-Encoding", headers.get("accept-encoding")) for line, headers in hub.seen if "GET " in line
    }
    assert asked == {"identity"}


@pytest.mark.parametrize("filename", [CONFIG, CARD])
def test_a_small_file_that_is_changed_on_its_way(hub: Hub, published, options: FetchOptions, filename: str) -> None:
    """The ETag of a small file is git's hash of it."""
    hub.fault(CONTENT_OF[filename], change=lambda body: body[:-1] + b" ")
    assert "git hash" in fails(IntegrityError, options, f"hf-hub:org/small@{published[0]}")
    fetch(f"hf-hub:org/small@{published[0]}", options)


def test_a_small_file_that_was_changed_in_the_cache(hub: Hub, published, options: FetchOptions) -> None:
    fetched = fetch("hf-hub:org/small", options)
    (fetched.folder / CONFIG).resolve().write_text("{}")
    (fetched.folder / CONFIG).unlink()
    assert fetch("hf-hub:org/small", options).config == published[1]


def test_another_range_than_was_asked_for(hub: Hub, published, options: FetchOptions, waits: list[float]) -> None:
    hub.fault("GET /cdn/", cut_after=15 << 20)
    hub.fault("GET /cdn/", lie=lies.another_range)
    fetched = fetch("hf-hub:org/small", options)
    assert (fetched.folder / WEIGHTS).read_bytes() == (published[2] / WEIGHTS).read_bytes()


# --- how long it takes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 1000])
def test_connections_that_break_again_and_again_end(
    hub: Hub, published, options: FetchOptions, waits: list[float], caplog: pytest.LogCaptureFixture, count: int
) -> None:
    hub.fault("GET /cdn/", lie=lies.cut_after(count), times=10_000)
    with caplog.at_level(logging.WARNING):
        fails(DownloadError, options)
    assert len(hub.requests("GET /cdn/")) == patience.ATTEMPTS
    assert waits == [1.0, 2.0, 4.0, 8.0]
    told = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(told) == len(waits), "one line for each attempt"
    assert all(re.search(r"retrying in \d s \(\d of 4\)", line) for line in told)


@pytest.mark.parametrize("filename", [CONFIG, WEIGHTS])
def test_a_drip_ends(hub: Hub, published, options: FetchOptions, monkeypatch, filename: str) -> None:
    monkeypatch.setattr(download, "WINDOW", 0.5)
    hub.fault(CONTENT_OF[filename], lie=lies.drip(0.05), times=99)
    assert "bytes per second, less than 1000" in fails(DownloadError, options)
    assert len(hub.requests(CONTENT_OF[filename])) == 1


def test_the_least_rate_is_a_setting(hub: Hub, published, options: FetchOptions, monkeypatch) -> None:
    monkeypatch.setattr(download, "WINDOW", 0.2)
    monkeypatch.setenv("ADEPT_MIN_DOWNLOAD_RATE", "0.001")
    hub.fault(CONTENT_OF[CONFIG], lie=lies.drip(0.02, count=200))
    fetch("hf-hub:org/small", options)
    monkeypatch.setenv("ADEPT_MIN_DOWNLOAD_RATE", "fast")
    assert "number of bytes per second" in fails(DownloadError, FetchOptions(cache_dir=options.cache_dir, force=True))


def test_a_stalled_body_ends(hub: Hub, published, options: FetchOptions, waits: list[float], monkeypatch) -> None:
    monkeypatch.setattr(http_answer.constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.2)
    hub.fault(CONTENT_OF[CONFIG], lie=lies.stall(60.0), times=99)
    started = time.monotonic()
    fails(DownloadError, options)
    assert time.monotonic() - started < 60, "one of the five attempts waited for it"


def test_headers_that_drip_end(hub: Hub, published, options: FetchOptions, monkeypatch) -> None:
    """Each byte comes within the socket's timeout; together they would take for ever."""
    monkeypatch.setattr(http_answer, "OPENING", 0.5)
    hub.fault(CONTENT_OF[CONFIG], lie=lies.drip_headers, times=99)
    assert "did not respond" in fails(DownloadError, options)


def test_a_server_may_not_order_a_day_of_waiting(
    hub: Hub, published, options: FetchOptions, waits: list[float]
) -> None:
    hub.fault("GET /cdn/", status=503, headers={"Retry-After": "86400"}, times=99)
    fails(DownloadError, options)
    assert max(waits) <= 60


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_a_busy_hub_is_one_line_an_attempt(
    hub: Hub, published, options: FetchOptions, waits: list[float], caplog: pytest.LogCaptureFixture, status: int
) -> None:
    hub.fault("/org/small", status=status, times=1000)
    with caplog.at_level(logging.INFO):
        fails(DownloadError, options)
    assert len([record for record in caplog.records if record.levelno >= logging.WARNING]) == 4


# --- odd answers and names -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "location",
    ["http://[::1", "http://localhost:99999/x", "http://localhost:port/", "file:///etc/passwd", "//", "\x7f:"],
)
def test_a_location_that_is_none(hub: Hub, published, options: FetchOptions, waits: list[float], location: str) -> None:
    hub.fault("/org/small/resolve/", status=302, headers={"Location": location}, times=99)
    # Some versions of the client take the path of an odd address for one of the Hub itself, which lacks it.
    fails((DownloadError, CheckpointError), options)


@pytest.mark.parametrize(
    "name", ["org/ck.", "org/ck-", "org/.ck", "org/ck.git", "org--x/ck", "org/c..k", "-o/ck", "o/" + "k" * 97]
)
def test_a_name_that_the_client_refuses_is_refused_first(options: FetchOptions, name: str) -> None:
    fails(SourceError, options, f"hf-hub:{name}")


@pytest.mark.parametrize("size", ["-5", "1e9", "9" * 5000, "²"])
def test_a_size_that_is_none(hub: Hub, published, options: FetchOptions, waits: list[float], size: str) -> None:
    size = size.encode().decode("latin-1")
    hub.fault(f"HEAD /org/small/resolve/.*/{CONFIG}", announce={"X-Linked-Size": size}, times=99)
    try:
        fetch("hf-hub:org/small", options)
    except (IntegrityError, DownloadError) as error:
        assert len(str(error).splitlines()) <= 3  # noqa: PT017


def test_every_error_of_the_transport_is_one_of_ours() -> None:
    assert all(issubclass(error, Exception) for error in hub_errors.TRANSPORT)
    assert any(error.__name__ == "InvalidURL" for error in hub_errors.TRANSPORT)
