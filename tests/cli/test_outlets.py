"""The streams of the command line: nobody reads them, they are full, closed, or of seven bits."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from adept_hub.cli import output
from adept_hub.cli.main import main
from tests.registry.registries import checkpoint, small, write

ADEPT = [sys.executable, "-m", "adept_hub.cli.main"]
FULL = Path("/dev/full")


def registry(folder: Path, data: str) -> Path:
    """A registry whose checkpoint says that it was trained on ``data``."""
    checkpoints = {"mine_r18_fpn.photos": checkpoint(data=data)}
    return write(folder / "registry.json", small(checkpoints=checkpoints))


def shell(command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a line of shell in which ``adept`` is ours."""
    line = f"set -o pipefail; adept() {{ '{sys.executable}' -m adept_hub.cli.main \"$@\"; }}; {command}"
    return subprocess.run(
        ["bash", "-c", line], capture_output=True, text=True, check=False, env=os.environ | environment
    )


#: Python writes at once with it, and when it ends or is asked to without.
UNBUFFERED = pytest.mark.parametrize("unbuffered", ["", "1"])


@UNBUFFERED
@pytest.mark.parametrize("words", ["list --all", "info adept_joint --json", "--help", "push --help"])
def test_nobody_reads(words: str, unbuffered: str) -> None:
    done = shell(f"adept {words} | true", PYTHONUNBUFFERED=unbuffered)
    assert (done.returncode, done.stderr) == (0, "")


@UNBUFFERED
@pytest.mark.parametrize("words", ["list --all", "info adept_joint", "--help", "--version", "push --help"])
@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
def test_a_full_disk_is_told_once(words: str, unbuffered: str) -> None:
    done = shell(f"adept {words} > /dev/full", PYTHONUNBUFFERED=unbuffered)
    assert done.returncode == 1
    assert done.stderr.startswith("adept: ")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("streams", [">&-", "2>&-", ">&- 2>&-", "<&- >&-"])
def test_closed_streams(streams: str) -> None:
    done = shell(f"adept list --all {streams}")
    assert (done.returncode, done.stderr) == (0, "")
    assert shell(f"adept info no_such_model {streams}").returncode == 1
    assert shell(f"adept --help {streams}").returncode == 0
    assert shell(f"adept frobnicate {streams}").returncode == 2


def test_a_stream_of_seven_bits(tmp_path: Path) -> None:
    path = registry(tmp_path, "Straße 東京")
    done = shell("adept info mine_r18_fpn.photos", PYTHONIOENCODING="ascii", ADEPT_REGISTRY=str(path))
    assert done.returncode == 0
    assert "Stra\\xdfe \\u6771\\u4eac" in done.stdout


def test_what_a_registry_says_moves_no_cursor(tmp_path: Path, monkeypatch, capsys) -> None:
    path = registry(tmp_path, "\x1b[2Jgood\x1b]0;owned\x07\r\x9bm\nname   evil")
    monkeypatch.setenv("ADEPT_REGISTRY", str(path))
    assert main(["info", "mine_r18_fpn.photos"]) == 0
    told = capsys.readouterr().out
    assert not set(told) & set(map(chr, [*range(10), *range(11, 32), *range(127, 160)]))
    assert "[2Jgood]0;ownedm name   evil" in told, "a line of its own"
    assert main(["info", "mine_r18_fpn.photos", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["data"].startswith("\x1b[2J"), "a program gets what is there"


def test_a_name_in_an_error_moves_no_cursor(capsys) -> None:
    assert main(["pull", "./no\x1b[2Jsuch\rfolder"]) == 1
    assert capsys.readouterr().err.startswith("adept: no[2Jsuchfolder does not exist")


def test_a_progress_bar_moves_in_its_line(capsys) -> None:
    stream = output.ErrorOutlet(sys.stderr)
    stream.write("\r50%\x1b[K\x1b[A\x1b[2J")
    assert capsys.readouterr().err == "\r50%\x1b[K\x1b[A[2J"


@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
def test_nobody_has_to_read_what_is_reported() -> None:
    with FULL.open("w", buffering=1) as full:
        assert output.ErrorOutlet(full).write("told\n") == 5
        with pytest.raises(OSError, match="No space"):
            output.Outlet(full).write("a result\n")
        os.dup2(os.open(os.devnull, os.O_WRONLY), full.fileno())


def test_a_stream_that_is_none_takes_everything() -> None:
    stream = output.Outlet(None)
    assert stream.write("text") == 4
    stream.flush()
    assert not stream.isatty()
    assert (stream.encoding, stream.errors) == ("utf-8", "strict")
    with pytest.raises(OSError, match="closed"):
        stream.fileno()


def test_the_streams_are_put_back(capsys) -> None:
    before = sys.stdout, sys.stderr, sys.stdout.errors
    main(["list"])
    assert (sys.stdout, sys.stderr, sys.stdout.errors) == before
