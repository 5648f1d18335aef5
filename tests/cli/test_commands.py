"""The command line of the hub: exit statuses, messages, JSON, and what it does not import."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from adept_hub.checkpoint.folder import CONFIG, WEIGHTS
from adept_hub.cli.main import main
from adept_hub.spec import CheckpointConfig
from tests.hub.loopback import Hub
from tests.hub.loopback_state import OWNER


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    status = main([str(word) for word in words])
    out, err = capsys.readouterr()
    return status, out, err


def mistake(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """The message of a user's mistake: status 1, one to three lines, no traceback, nothing on standard output."""
    status, out, err = run(capsys, *words)
    assert (status, out) == (1, "")
    assert err.startswith("adept: ")
    assert 1 <= len(err.strip().splitlines()) <= 3, err
    assert "Traceback" not in err
    return err


HEAVY = ("torch", "torchvision", "huggingface_hub", "safetensors", "numpy", "yaml", "adept_training.pretraining")


@pytest.mark.parametrize(
    "code",
    [
        "import adept_hub",
        "import adept_hub; adept_hub.list_models(); adept_hub.model_info('adept_joint')",
        "from adept_hub.cli.main import main; main(['list'])",
        "from adept_hub.cli.main import main; main(['list', '--all', '--json'])",
        "from adept_hub.cli.main import main; main(['info', 'adept_joint'])",
        "from adept_hub.cli.main import main; main(['--help'])",
        "from adept_hub.cli.main import main; main(['push', '--help'])",
        "from adept_hub.cli.main import main; main(['list', '--no-such-option'])",
    ],
)
def test_light_commands_import_nothing_heavy(code: str) -> None:
    """Seen from outside: the modules that the process holds at its end, however it ended."""
    watched = f"""
import atexit, sys
atexit.register(lambda: sys.stderr.write("HELD:" + ",".join(m for m in {HEAVY!r} if m in sys.modules)))
{code}
"""
    done = subprocess.run([sys.executable, "-c", watched], capture_output=True, text=True, check=False)
    assert done.stderr.endswith("HELD:"), done.stderr


def test_list_and_info(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "list", "soco_*", "--all", "--json")
    names = [row["name"] for row in json.loads(out)]
    assert status == 0
    assert "soco_r50_fpn" in names
    assert all(name.startswith("soco_") for name in names)
    assert run(capsys, "list", "nothing_*")[0] == 0
    status, out, _ = run(capsys, "info", "soco_r18_fpn128", "--json")
    info = json.loads(out)
    assert (info["architecture"], info["tag"], info["pretrained"]) == ("soco_r18_fpn128", "", False)
    assert info["spec"]["fpn_channels"] == 128
    status, out, _ = run(capsys, "info", "soco_r18_fpn128")
    assert status == 0
    assert "not published" in out
    assert "adept pretrain" in out


def test_an_unknown_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert "soco_r50_fpn" in mistake(capsys, "info", "soco_r51_fpn")


@pytest.mark.parametrize("words", [["nonsense"], ["info"], ["pull"], ["push", "x"], ["list", "--method", "x"]])
def test_bad_usage_is_status_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2


def test_pull_a_folder(capsys: pytest.CaptureFixture[str], make_checkpoint) -> None:
    folder, config, _ = make_checkpoint()
    status, out, _ = run(capsys, "pull", folder, "--json")
    assert (status, json.loads(out)) == (
        0,
        {"name": config.name, "folder": str(folder), "sha256": config.sha256},
    )
    assert "200 tensors" in run(capsys, "pull", f"local-dir:{folder}")[1]


def test_pull_from_the_hub_and_verify(
    capsys: pytest.CaptureFixture[str], hub: Hub, published: tuple[str, CheckpointConfig, Path], tmp_path: Path
) -> None:
    commit, config, _ = published
    cache = ("--cache-dir", tmp_path / "cache")
    pinned = f"hf-hub:org/small@{commit}"
    assert "not cached" in run(capsys, "verify", pinned, *cache)[1]
    assert run(capsys, "verify", pinned, *cache)[0] == 1
    status, out, _ = run(capsys, "pull", pinned, *cache, "--json")
    folder = Path(json.loads(out)["folder"])
    assert (status, folder.name) == (0, commit)
    hub.log.clear()
    assert run(capsys, "verify", pinned, *cache)[:1] == (0,)
    assert hub.log == []
    target = (folder / WEIGHTS).resolve()
    target.write_bytes(target.read_bytes()[:-1] + b"\0")
    status, out, _ = run(capsys, "verify", pinned, *cache, "--json")
    assert (status, json.loads(out)[0]["state"]) == (1, "FAILED")
    assert str(target) in mistake(capsys, "pull", pinned, *cache)
    assert run(capsys, "pull", pinned, *cache, "--force")[0] == 0
    assert run(capsys, "verify", pinned, *cache)[0] == 0
    assert config.name in run(capsys, "card", pinned, *cache)[1]


@pytest.mark.parametrize("command", ["pull", "card", "verify"])
@pytest.mark.parametrize("source", ["no_such_model", "./nowhere", "hf-hub:nonsense", "a b"])
def test_sources_that_are_none(capsys: pytest.CaptureFixture[str], command: str, source: str) -> None:
    if command == "verify":
        status, out, _ = run(capsys, command, source)
        assert status == 1
        assert "FAILED" in out
    else:
        mistake(capsys, command, source)


def test_damaged_folders_and_pickles(capsys: pytest.CaptureFixture[str], make_checkpoint, tmp_path: Path) -> None:
    folder, _, _ = make_checkpoint()
    weights = folder / WEIGHTS
    content = weights.read_bytes()
    weights.write_bytes(content[:1000])
    assert "bytes instead of" in mistake(capsys, "pull", folder)
    weights.write_bytes(content[:-1] + b"\0")
    assert "SHA-256" in mistake(capsys, "pull", folder)
    weights.unlink()
    assert WEIGHTS in mistake(capsys, "pull", folder)
    (folder / CONFIG).write_text("{")
    assert "is not valid JSON" in mistake(capsys, "pull", folder)
    (tmp_path / "model.pth").write_bytes(b"\x80\x02.")
    assert "not a valid file of tensors" in mistake(capsys, "pull", tmp_path / "model.pth")
    torch.save({"model": tmp_path}, tmp_path / "model.pth")
    assert "would import pathlib" in mistake(capsys, "pull", tmp_path / "model.pth")


def test_debug_shows_the_traceback() -> None:
    command = [sys.executable, "-m", "adept_hub.cli.main", "info", "nothing", "--debug"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "UnknownModelError" in done.stderr


def test_what_a_command_says_is_its_own(
    hub: Hub, published: tuple[str, CheckpointConfig, Path], tmp_path: Path
) -> None:
    """In a process of its own: no line for every request, nothing twice."""
    command = [sys.executable, "-m", "adept_hub.cli.main", "pull"]
    options = ["--cache-dir", str(tmp_path / "cache")]
    done = subprocess.run([*command, "hf-hub:org/small", *options], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    done = subprocess.run([*command, "hf-hub:org/none", *options], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 2, done.stderr


def test_card_is_written_into_the_folder(capsys: pytest.CaptureFixture[str], make_checkpoint) -> None:
    folder, config, _ = make_checkpoint()
    assert run(capsys, "card", folder, "--write")[1].strip() == str(folder / "README.md")
    assert run(capsys, "card", folder)[1] == (folder / "README.md").read_text()
    assert config.sha256 in (folder / "README.md").read_text()
    assert "Specify a SOURCE or --all DIR" in mistake(capsys, "card")


def test_push_and_its_dry_run(
    capsys: pytest.CaptureFixture[str], hub: Hub, make_checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _, _ = make_checkpoint(half=True)
    status, out, _ = run(capsys, "push", folder, "org/mine", "--dry-run")
    assert status == 0
    assert "Nothing was uploaded." in out
    assert WEIGHTS in out
    assert hub.log == []
    assert "hf auth login" in mistake(capsys, "push", folder, "org/mine")
    monkeypatch.setenv("HF_TOKEN", OWNER)
    status, out, _ = run(capsys, "push", folder, "org/mine", "--private", "--json")
    answer = json.loads(out)
    assert answer["commit"] == hub.repos["org/mine"].refs["main"]
    assert {file["path"] for file in answer["files"]} == {"README.md", CONFIG, WEIGHTS}
    (folder / CONFIG).write_text((folder / CONFIG).read_text().replace('"apache-2.0"', '""'))
    assert "has no license" in mistake(capsys, "push", folder, "org/mine")
