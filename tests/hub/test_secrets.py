"""No token and no password leaves: not in a message, a log line, a traceback, nor in the client's own words."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from adept_hub.cli.main import main
from adept_hub.errors import AdeptError, DownloadError, PublishError
from adept_hub.hub import retries as patience
from adept_hub.hub.fetch import FetchOptions, fetch
from adept_hub.publish.push import push_to_hub
from tests.hub.loopback import Hub
from tests.hub.processes import Fetching

TOKEN = "hf_" + "q9Z" * 11 + "x"


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience.time, "sleep", lambda seconds: None)


def adept(*words: str, tmp_path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own that does not wait between attempts."""
    code = "import sys, time; time.sleep = lambda s: None; from adept_hub.cli.main import main; sys.exit(main())"
    env = os.environ | {"HF_HOME": str(tmp_path / "home")} | environment
    return subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False, env=env)


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("status", [400, 403, 404, 418, 500])
def test_a_hub_that_echoes_the_token(
    hub: Hub, published, tmp_path: Path, monkeypatch, capsys: pytest.CaptureFixture[str], status: int, debug: bool
) -> None:
    echo = {"X-Error-Message": f"no: Bearer {TOKEN}", "X-Request-Id": TOKEN}
    hub.fault("/org/small", status=status, headers=echo, times=99)
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)
    words = ["pull", "hf-hub:org/small", "--cache-dir", str(tmp_path / "cache"), *["--debug"] * debug]
    for mine in (TOKEN, None):  # the pattern alone masks it too
        if mine:
            monkeypatch.setenv("HF_TOKEN", mine)
        else:
            monkeypatch.delenv("HF_TOKEN")
        try:
            assert main(words) == 1
        except AdeptError as error:
            sys.excepthook(type(error), error, error.__traceback__)
        told = capsys.readouterr()
        assert ("Traceback" in told.err) == debug
        assert TOKEN[3:] not in told.out + told.err
        assert "***" in told.err or not debug


def test_the_password_of_an_endpoint(published, tmp_path: Path) -> None:
    endpoint = "http://me:pass-word@127.0.0.1:9"  # nobody listens
    done = adept("pull", "hf-hub:org/small", "--debug", tmp_path=tmp_path, HF_ENDPOINT=endpoint)
    assert done.returncode == 1
    assert "pass-word" not in done.stdout + done.stderr
    assert "Traceback" in done.stderr
    assert "***@127.0.0.1:9" in done.stderr
    told = Fetching("hf-hub:org/small", tmp_path / "cache", HF_ENDPOINT=endpoint, IMPATIENT="1").outcome()
    assert told.startswith("DownloadError")
    assert "pass-word" not in told, "in Python, without the command line"


def test_log_lines_of_ours_in_python(
    hub: Hub, published, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch
) -> None:
    fetch("hf-hub:org/small", FetchOptions(cache_dir=tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.endpoint.replace("://", "://me:pass-word@"))
    hub.fault("/org/small", status=503, times=99)
    with caplog.at_level(logging.INFO):
        fetch("hf-hub:org/small", FetchOptions(cache_dir=tmp_path / "cache"))
    assert "cannot be reached" in caplog.text
    assert "pass-word" not in caplog.text


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_hub_is_one_line_an_attempt_of_publishing(
    hub: Hub, make_checkpoint, monkeypatch, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    """The client itself asks again, and writes two lines each time."""
    folder, _, _ = make_checkpoint(half=True)
    monkeypatch.setenv("HF_TOKEN", "hf_owner")
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)
    monkeypatch.setattr(logging.getLogger("huggingface_hub"), "propagate", True)
    hub.fault("PUT /lfs/", status=status, times=99)
    with caplog.at_level(logging.INFO), pytest.raises(PublishError):
        push_to_hub(folder, "org/mine")
    told = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert told
    assert all(f"HTTP {status}; retrying in" in line for line in told), told


def test_a_token_that_is_asked_for_and_is_not_there(hub: Hub, published, tmp_path: Path) -> None:
    with pytest.raises(DownloadError):
        fetch("hf-hub:org/small", FetchOptions(cache_dir=tmp_path / "cache", token=True))
