"""Lock a folder so that one process writes to it at a time; the system releases the lock when the process ends.

The lock is ``flock`` on a file in the folder (`filelock`). On NFS it works across hosts only if the server and the
mount forward locks (NFSv4, or NFSv3 with its lock daemon; not ``nolock`` or ``local_lock=flock``), on Lustre only with
the mount option ``flock``; otherwise the lock is local to each host.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shlex
import shutil
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from adept_hub.errors import AdeptError, FolderInUseError
from adept_hub.io.disk_errors import disk_errors
from adept_hub.io.paths import resolved
from adept_hub.io.read import BoundedReader

_log = logging.getLogger(__name__)

LOCK, OWNER = ".adept-lock", ".adept-owner.json"
#: Seconds for which children of a killed process may keep its lock: loader workers check for their parent every five.
_ORPHANS = 30.0
_POLL = 0.2
#: Number of times that this process and thread has entered each folder's lock.
_entered: dict[tuple[int, int, Path], int] = {}


@contextlib.contextmanager
def own_folder(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Create a folder, if needed, and lock it against all other processes and threads while the block runs.

    The lock is reentrant. A folder that is created here and stays empty is removed again.

    Args:
        folder: the folder of a run, an experiment or a proposal table.
        wait: wait for another process to end instead of refusing.

    Raises:
        FolderInUseError: another process has the lock; the message has its ID, host and command.
        DiskFullError: the folder cannot be created or written.
    """
    key = (os.getpid(), threading.get_ident(), resolved(folder))
    if key in _entered:
        _entered[key] += 1
        try:
            yield
        finally:
            _entered[key] -= 1
        return
    with disk_errors(folder):
        made = not folder.exists()
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(resolved(folder) / LOCK, thread_local=False)
    _acquire(lock, folder, wait)
    _entered[key] = 1
    try:
        _sign(folder / OWNER)
        yield
    finally:
        del _entered[key]
        with contextlib.suppress(OSError):  # the user may have removed the folder in the meantime
            (folder / OWNER).unlink(missing_ok=True)
            if made and [path.name for path in folder.iterdir()] == [LOCK]:
                shutil.rmtree(folder)
        lock.release()


def _acquire(lock: FileLock, folder: Path, wait: bool) -> None:
    warned, until = False, 0.0
    while True:
        try:
            with disk_errors(folder):
                folder.mkdir(parents=True, exist_ok=True)  # another process may have removed it on exit, being empty
                lock.acquire(timeout=_POLL)
            if (folder / LOCK).exists():
                return
            lock.release()  # the file was removed with its folder
            continue
        except FileNotFoundError:
            continue
        except Timeout:
            owner = _owner(folder)
        if wait:
            if not warned:
                _log.warning("Waiting for %s, which is writing %s.", _name(owner), folder)
                warned = True
        elif _is_dead(owner):
            until = until or time.monotonic() + _ORPHANS
            if time.monotonic() > until:
                raise FolderInUseError(
                    f"{folder} is still locked by children of {_name(owner)}, which has ended.\n"
                    f"End them: fuser -v {shlex.quote(str(folder / LOCK))}"
                )
        else:
            raise FolderInUseError(
                f"{folder} is being written by another process: {_name(owner)}.\n"
                "Wait until it ends (--wait does so), or choose another --out."
            )


def _sign(path: Path) -> None:
    """Record the owner of the lock, only for the message to processes that are refused."""
    content = {
        "pid": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%Y-%m-%d %H:%M:%S"),
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])[:200],
    }  # fmt: skip
    with disk_errors(path):
        path.write_text(json.dumps(content) + "\n", encoding="utf-8")


def _owner(folder: Path) -> dict[str, object]:
    """Return the owner's record; empty if it is not yet written."""
    with contextlib.suppress(AdeptError):
        content = BoundedReader(FolderInUseError).json(folder / OWNER)
        if isinstance(content, dict):
            return content
    return {}


def _name(owner: dict[str, object]) -> str:
    if not isinstance(owner.get("pid"), int):
        return "one that has just started"
    host, since, command = (str(owner.get(key, "?"))[:200] for key in ("host", "since", "command"))
    text = f"process {owner['pid']} on {host}, since {since} ({command})"
    return "".join(c for c in text if c.isprintable())


def _is_dead(owner: dict[str, object]) -> bool:
    """Check for an owner that has certainly ended: a process ID of this machine that does not exist."""
    pid = owner.get("pid")
    if not isinstance(pid, int) or not 0 < pid < 1 << 31 or owner.get("host") != socket.gethostname():
        return False
    if os.name == "nt":  # there os.kill(pid, 0) interrupts the process instead of asking for it
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False
