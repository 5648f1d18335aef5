"""The guard of `tests/conftest.py` notices what a test leaves changed, and puts back what commands set."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import types
import warnings
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
import torch
from huggingface_hub import constants

from adept_hub.cli.main import main
from tests.light import ROOT
from tests.process_state import process_state, unchanged

FOLDER, UMASK, SIZE = Path.cwd(), os.umask(0o22), mpl.rcParams["font.size"]
SHOW = warnings.showwarning
os.umask(UMASK)
#: A change and how it is undone, by what the failure names.
CHANGES: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
    "folder: ": (lambda: os.chdir("/"), lambda: os.chdir(FOLDER)),
    "environment: b'SPOILT' was None": (
        lambda: os.environ.update(SPOILT="1"),
        lambda: os.environ.pop("SPOILT"),
    ),
    "signal handlers: SIGTERM": (
        lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN),
        lambda: signal.signal(signal.SIGTERM, signal.SIG_DFL),
    ),
    "umask: ": (lambda: os.umask(0o123), lambda: os.umask(UMASK)),
    "torch: .*float32.*float64": (
        lambda: torch.set_default_dtype(torch.float64),
        lambda: torch.set_default_dtype(torch.float32),
    ),
    "logging: ": (lambda: logging.disable(50), lambda: logging.disable(0)),
    "network: ": (lambda: socket.setdefaulttimeout(3), lambda: socket.setdefaulttimeout(None)),
    "hooks: ": (
        lambda: setattr(warnings, "showwarning", print),
        lambda: setattr(warnings, "showwarning", SHOW),
    ),
    "matplotlib: font.size was .*, is 17": (
        lambda: mpl.rcParams.update({"font.size": 17}),
        lambda: mpl.rcParams.update({"font.size": SIZE}),
    ),
    "numpy: divide": (lambda: np.seterr(divide="raise"), lambda: np.seterr(divide="warn")),
    "huggingface_hub": (
        lambda: setattr(constants, "HF_HUB_OFFLINE", True),
        lambda: setattr(constants, "HF_HUB_OFFLINE", False),
    ),
}


@pytest.mark.parametrize("message", CHANGES)
def test_what_stays_changed_fails_the_test(message: str) -> None:
    change, undo = CHANGES[message]
    try:
        with (
            pytest.raises(pytest.fail.Exception, match=f"a test changed the process for all tests after it: {message}"),
            unchanged("a test"),
        ):
            change()
    finally:
        undo()


def test_a_module_imported_while_something_is_patched_fails_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("adept_training.imported")
    module.open_data = lambda *_: None
    with (
        pytest.raises(pytest.fail.Exception, match=r"training\.imported was imported, and keeps .* open_data"),
        unchanged("a test"),
    ):
        monkeypatch.setitem(sys.modules, module.__name__, module)


def test_all_modules_can_be_imported_beforehand() -> None:
    """In a process of its own: here most of them are imported already."""
    code = "import sys; from tests.process_state import import_ours; import_ours(); print(*sys.modules)"
    names = set(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split())
    for folder in (ROOT / "adept_hub", ROOT / "training" / "adept_training"):
        files = {".".join(path.relative_to(folder.parent).with_suffix("").parts) for path in folder.rglob("*.py")}
        modules = {file.removesuffix(".__init__") for file in files if not file.endswith("__main__")}
        assert modules - names == set()


def test_what_commands_set_is_put_back(capsys: pytest.CaptureFixture[str]) -> None:
    before = process_state(), torch.get_num_threads(), logging.getLogger("adept_hub").handlers
    with unchanged("a test"):
        assert main(["recipe", "--list"]) == 0
        torch.set_num_threads(before[1] + 1)
        assert logging.getLogger("adept_hub").handlers != before[2]
    assert before[0] | {"modules": ()} == process_state() | {"modules": ()}
    assert before[1:] == (torch.get_num_threads(), logging.getLogger("adept_hub").handlers)
