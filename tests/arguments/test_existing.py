"""A mistyped source, folder or run is reported before torch is imported, and an existing one passes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from adept_hub.arguments.existing import check_compared, check_folder, check_run, check_source
from adept_hub.errors import SourceError, UnknownModelError
from adept_hub.names import LAYOUTS, WEIGHT_FILES, LocalSource, parse_source

#: Commands in which nothing but a path is wrong, and the end of the first line of the message.
MISTYPED = [
    (f"{words} --out out", "does not exist.")
    for words in (
        "export ./no --to mmdet", "finetune ./no --data voc:x", "finetune adept_joint --unlabeled no --data voc:x",
        "finetune scratch --like ./no --data voc:x", "compare scratch mine=./no --data voc:x", "predict ./no images",
        "predict adept_joint no", "pretrain --images no", "pretrain --images . --init moco:no.pth", "studio ./no",
        "fewshot scratch ./no --data voc:x", "deploy ./no --to onnx", "report no", "import moco:no.pth",
        "import no.pth", "proposals no",
    )
]  # fmt: skip
MISTYPED += [
    (words, "does not exist.")
    for words in (
        "info ./no", "info no.pth", "info moco:no.pth", "card ./no", "pull no/where", "doctor ./no --target mmdet",
        "push no org/name", "plan no", "evaluate ./no --data voc:x",
    )
]  # fmt: skip
MISTYPED += [
    (f"{command} no", "Unknown model 'no', and there is no such file or folder.") for command in ("info", "pull")
]

CHILD = """
import io, os, sys, contextlib
from adept_hub.cli.main import main
for line in sys.stdin.read().splitlines():
    text = io.StringIO()
    with contextlib.redirect_stderr(text):
        status = main(line.split())
    print(status, "torch" in sys.modules, text.getvalue().splitlines()[0], sep="|")
"""


def test_a_mistyped_path_is_reported_without_torch(tmp_path: Path) -> None:
    """All commands in one process: the first that imports torch spoils every later line, too."""
    (tmp_path / "images").mkdir()
    lines = "\n".join(words for words, _ in MISTYPED)
    done = subprocess.run([sys.executable, "-c", CHILD], input=lines, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    answers = done.stdout.splitlines()
    for (words, end), answer in zip(MISTYPED, answers, strict=True):
        status, torch, message = answer.split("|", 2)
        assert (status, torch) == ("1", "False"), f"{words}: {answer}"
        assert message.endswith(end) or message == "adept: There is no weights file no.pth.", f"{words}: {answer}"


def test_what_exists_passes(make_checkpoint, tmp_path: Path) -> None:
    folder, _, _ = make_checkpoint()
    odd = tmp_path / "epoch=3.pth"
    odd.touch()
    check_source(None)
    for text in (str(folder), f"local-dir:{folder}", "adept_joint", "hf-hub:org/never_looked_up", f"moco:{odd}"):
        check_source(text)
    check_compared([f"{layout}={folder}" for layout in LAYOUTS])  # a run of SoCo is likely to be called soco
    check_compared(["scratch", "first=scratch", f"second={folder}", f"moco:{odd}", str(odd), "adept_joint"])
    for text in (str(folder), f"local-dir:{folder}", "adept_joint"):
        check_run(text, "finetune")
    for path in (folder, Path("adept_joint")):
        check_folder(path)


def test_what_does_not_exist(tmp_path: Path) -> None:
    for text in (f"first={tmp_path}/none", f"{tmp_path}/none=1", f"moco:{tmp_path}/epoch=3.pth"):
        with pytest.raises(SourceError):
            check_compared(["adept_joint", text])
    with pytest.raises(UnknownModelError):
        check_source("scratch")


@pytest.mark.parametrize("suffix", WEIGHT_FILES)
def test_a_weights_file_is_a_path_also_if_it_does_not_exist(suffix: str) -> None:
    assert parse_source(f"ckpt{suffix}") == LocalSource(Path(f"ckpt{suffix}"))
