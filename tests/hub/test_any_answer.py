"""Any answer of a Hub: the true checkpoint or an AdeptError; and downloads and pushes that are killed (kill -9)."""

from __future__ import annotations

import itertools
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from adept_hub.checkpoint.folder import CARD, CONFIG, WEIGHTS
from adept_hub.errors import AdeptError, CheckpointError, DownloadError, SourceError
from adept_hub.hub import answer as http_answer
from adept_hub.hub import retries as patience
from adept_hub.hub.fetch import FetchOptions, fetch
from tests.hostile.kills import KILLS, adept, files_of, moments, run
from tests.hostile.mutate import SPLICES, VALUES, Choose, mutate_bytes
from tests.hostile.property import EXAMPLES, SEED, check_message, limited, watched
from tests.hub import lies
from tests.hub.loopback import Hub
from tests.hub.loopback_state import OWNER

_HEADERS = (
    "ETag", "X-Linked-ETag", "X-Repo-Commit", "X-Linked-Size", "Content-Length", "Content-Range", "Content-Encoding",
    "Content-Type", "Retry-After", "X-Error-Code", "X-Error-Message", "Link", "Accept-Ranges", "X-Xet-Hash",
)  # fmt: skip
_LOCATIONS = (
    "http://[::1", "http://localhost:99999/x", "file:///etc/passwd", "//", "/", "?", "ftp://127.0.0.1/", "data:,x",
    "http://127.0.0.1:9/", "/org/small/resolve/main/README.md", "../../..", "http://127.0.0.1:1/x\\y", "http:///x",
)  # fmt: skip
_LIES = (
    lies.one_byte_too_many, lies.one_byte_too_many_in_chunks, lies.gzip_bomb, lies.another_range,
    lies.cut_after(0), lies.cut_after(100),
)  # fmt: skip

#: Of a pull and a push, of which each takes seconds.
MOMENTS = KILLS if KILLS > 3 else 1


def trouble(choose: Choose) -> dict[str, Any]:
    """What is wrong with the answers, as `Hub.fault` takes it."""
    kind = choose(["header", "header", "status", "location", "body", "lie"])
    if kind == "header":
        texts = [str(value) for value in VALUES if isinstance(value, str | int | float)]
        texts += [splice.decode("latin-1") for splice in SPLICES] + ["f" * 40, "f" * 64, '"' + "0" * 64 + '"', "W/x"]
        text = choose(texts).encode("latin-1", "replace").decode("latin-1")
        return {"announce": {choose(_HEADERS): "".join(c for c in text if c not in "\r\n")[:5000]}}
    if kind == "status":
        status = choose([204, 206, 300, 304, 400, 401, 403, 404, 408, 410, 416, 429, 451, 500, 503, 599])
        return {"status": status, "headers": {"Retry-After": choose(["0", "x", "99999999"])}}
    if kind == "location":
        return {"status": choose([301, 302, 307, 308]), "headers": {"Location": choose(_LOCATIONS)}}
    if kind == "lie":
        return {"lie": choose(_LIES)}
    at = choose(range(100))
    picks = itertools.count(at)
    return {
        # What follows stays, or a download would go on 100 kB at a time, as on a line that is cut often.
        "change": lambda body: (
            mutate_bytes(body[:100_000], lambda values: values[next(picks) * 7 % len(values)])[1] + body[100_000:]
        )
    }


def test_any_answer(hub: Hub, published, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _, config, _ = published
    monkeypatch.setattr(patience.time, "sleep", lambda _: None)
    for name in ("HF_HUB_DOWNLOAD_TIMEOUT", "HF_HUB_ETAG_TIMEOUT"):
        monkeypatch.setattr(http_answer.constants, name, 0.5)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    patterns = [f"{method} .*{path}" for method in ("HEAD", "GET") for path in (CONFIG, CARD)]
    patterns += [f"HEAD .*{WEIGHTS}", "GET /cdn/", "/org/small", "/api/"]
    numbers = itertools.count()

    @seed(SEED)
    @settings(max_examples=max(EXAMPLES // 3, 5), deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def holds(data: st.DataObject) -> None:
        hub.faults.clear()

        def choose(sequence: Any) -> Any:
            return data.draw(st.sampled_from(sequence))

        options, pattern, times = trouble(choose), choose(patterns), choose([1, 2, 99])
        hub.fault(pattern, times=times, **options)
        cache = tmp_path / f"cache{next(numbers)}"
        refused = None
        done = f"ADEPT_SEED={SEED}: {pattern} {options}"
        with watched(cache), limited(done):
            try:
                found = fetch("hf-hub:org/small", FetchOptions(cache_dir=cache))
            except AdeptError as error:
                refused = error
        if refused is None:
            assert found.config == config, f"{done}: another checkpoint"
        else:
            assert isinstance(refused, (DownloadError, CheckpointError, SourceError)), f"{done}: {refused!r}"
            check_message(str(refused), done)
        taken = sum(path.stat().st_size for path in cache.rglob("*") if path.is_file() and not path.is_symlink())
        assert taken < config.size + (9 << 20), f"{done}: {taken:,} bytes are kept"
        shutil.rmtree(cache, ignore_errors=True)

    holds()


# --- killed --------------------------------------------------------------------------------------------------------


def test_a_pull_that_is_killed(hub: Hub, published, tmp_path: Path) -> None:
    words = ("pull", "hf-hub:org/small", "--cache-dir")
    whole = run(adept, *words, str(tmp_path / "whole"), below=tmp_path / "whole")
    assert whole.status == 0, whole.output
    expected = snapshot(tmp_path / "whole")
    for at in moments(whole.changes, MOMENTS):
        cache = tmp_path / f"killed{at}"
        dead = run(adept, *words, str(cache), below=cache, at=at)
        assert dead.killed or dead.status == 0, dead.output
        for name, content in snapshot(cache).items():
            assert content == expected[name], f"{name} is neither absent nor whole"
        again = run(adept, *words, str(cache), below=cache)
        assert again.status == 0, again.output
        assert snapshot(cache) == expected
        shutil.rmtree(cache)


def snapshot(cache: Path) -> dict[str, bytes]:
    """What a reader finds in a cache."""
    return {name: content for name, content in files_of(cache).items() if "/snapshots/" in name}


def push(folder: str, name: str) -> int:
    os.environ["HF_TOKEN"] = OWNER
    return adept("push", folder, name)


@pytest.mark.skipif(KILLS <= 3, reason="of the long form: make hostile")
def test_a_push_that_is_killed(hub: Hub, make_checkpoint, tmp_path: Path) -> None:
    folder, config, _ = make_checkpoint(half=True)
    whole = run(push, str(folder), "org/whole", below=tmp_path)
    assert whole.status == 0, whole.output
    expected = hub.repos["org/whole"].commits[hub.repos["org/whole"].refs["main"]].files
    for number in range(MOMENTS):
        name = f"org/killed{number}"
        run(push, str(folder), name, below=tmp_path, after=whole.seconds * (number + 0.5) / MOMENTS)
        if name in hub.repos:
            commits = hub.repos[name].commits.values()
            assert all(set(expected) <= set(c.files) or not set(c.files) - {".gitattributes"} for c in commits), (
                "a part"
            )
        again = run(push, str(folder), name, below=tmp_path)
        assert again.status == 0, again.output
        fetched = fetch(f"hf-hub:{name}", FetchOptions(cache_dir=tmp_path / f"cache{number}"))
        assert fetched.config == config
