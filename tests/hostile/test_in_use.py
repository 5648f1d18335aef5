"""A folder that another process is writing is refused by every command that would write it, before any work."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from adept_hub.cli.main import main
from adept_hub.io.folder_lock import own_folder
from tests.training.conftest import write_voc
from tests.training.support import write_photographs

#: Words of each command; {} is the folder of the test, whose ``out`` is held.
COMMANDS = {
    "pretrain": "pretrain --images {}/photographs --method adept_joint --out {}/out",
    "pretrain, resumed": "pretrain --images {}/photographs --method adept_joint --out {}/out --resume",
    "finetune": "finetune scratch --data voc:{}/voc --out {}/out --labels 50%",
    "compare": "compare scratch --data voc:{}/voc --out {}/out --image-counts 2 --seeds 1",
    "fewshot": "fewshot scratch --data voc:{}/voc --out {}/out --shots 1 --seeds 1",
    "proposals": "proposals {}/photographs --out {}/out --workers 1 --quiet",
}


@pytest.fixture
def hold(tmp_path: Path) -> Iterator[Callable[[], None]]:
    """Hold the folder by another thread, which counts as another process, until called."""
    begun, over = threading.Event(), threading.Event()

    def other() -> None:
        with own_folder(tmp_path / "out"):
            begun.set()
            over.wait(60)

    thread = threading.Thread(target=other)
    thread.start()
    begun.wait(60)

    def release() -> None:
        over.set()
        thread.join()

    yield release
    release()


@pytest.mark.parametrize("name", COMMANDS)
def test_the_second_is_refused(
    name: str, hold: Callable[[], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_photographs(tmp_path / "photographs", 4)
    write_voc(tmp_path / "voc", images=3)
    before = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert main([word.replace("{}", str(tmp_path)) for word in COMMANDS[name].split()]) == 1
    error = capsys.readouterr().err
    assert f"{tmp_path / 'out'} is being written by another process: process {os.getpid()} on " in error
    assert "Traceback" not in error
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == before, "nothing was touched"


def test_waiting_for_it(hold: Callable[[], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_photographs(tmp_path / "photographs", 3)
    threading.Timer(1.0, hold).start()
    words = f"proposals {tmp_path}/photographs --out {tmp_path}/out --workers 1 --preset fixed --quiet --wait"
    assert main(words.split()) == 0
    assert "Waiting for process" in capsys.readouterr().err
