"""One folder for everything temporary of a test session, removed at its end: a thousand sessions would fill a disk.

Processes that tests start (torchrun, loaders, commands) inherit it. The folders of `tmp_path` stay where pytest has
them, so that those of failed tests are kept.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from multiprocessing import util

os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir())

#: Short, since it contains the sockets of loader processes.
SCRATCH = tempfile.mkdtemp(prefix="adept-")
os.environ["TMPDIR"] = tempfile.tempdir = SCRATCH
# Commands on a busy machine add no lines about their silence to what tests expect.
os.environ["CI"] = "true"


def remove() -> None:
    """Remove the folder of this process, and with it those of the processes that it started."""
    util._run_finalizers()  # multiprocessing would look for a folder of its own there at its exit
    shutil.rmtree(SCRATCH, ignore_errors=True)
