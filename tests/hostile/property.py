"""What every reader promises of any bytes: a sound value, or an AdeptError of its class, in time and in little memory.

``ADEPT_EXAMPLES`` (default: a few) and ``ADEPT_SEED`` (default 0) ask for more of the same: ``make hostile``.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from adept_hub.errors import AdeptError
from tests.hostile.mutate import Choose

#: Of each reader.
EXAMPLES = int(os.environ.get("ADEPT_EXAMPLES", "12"))
SEED = int(os.environ.get("ADEPT_SEED", "0"))
LONG = EXAMPLES > 100
#: Seconds for one example, on a machine that may be busy; MB that the memory of all examples of a reader may grow by.
SECONDS, MEGABYTES = 30, 400
#: That one example can take before it is refused, so that what takes everything does not take the machine.
GIGABYTES = 4

#: What may lie where a regular file should.
IRREGULAR = ("missing", "folder", "pipe", "link to a device", "link to itself", "empty", "sparse")

Mutate = Callable[[bytes, Choose], tuple[str, bytes]]
_WRITES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.chmod", "os.link", "os.symlink")
_PROGRAMS = ("os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen", "os.startfile")
_watches: list[Callable[[str, tuple[Any, ...]], None]] = []


@dataclass(frozen=True)
class Reader:
    """One reader of one file.

    Attributes:
        name: in the names of the tests.
        file: that is damaged, relative to the folder.
        mutate: how; see `tests.hostile.mutate`.
        read: called with the folder.
        errors: the classes that the reader may raise.
        seal: called with the folder after the damage, to make true what other files say of it (a digest).
        examples: times as many as of others.
        irregular: what else than a regular file is tried.
    """

    name: str
    file: str
    mutate: Mutate
    read: Callable[[Path], object]
    errors: tuple[type[AdeptError], ...]
    seal: Callable[[Path], None] | None = None
    examples: float = 1.0
    irregular: tuple[str, ...] = IRREGULAR
    outcomes: Counter[str] = field(default_factory=Counter, compare=False)

    def __str__(self) -> str:
        return self.name


class Hangs(BaseException):
    """The time is over; no reader may catch it."""


def check(reader: Reader, folder: Path) -> None:
    """Damage the reader's file ``EXAMPLES`` times, each as the first damage to the valid file."""
    path = folder / reader.file
    valid = path.read_bytes()
    others = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file() and p != path} if reader.seal else {}
    reader.read(folder)  # the valid file is read, and what it imports
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    @seed(SEED)
    @settings(
        max_examples=max(int(EXAMPLES * reader.examples), 3), deadline=None, database=None, print_blob=False,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(st.data())
    def holds(data: st.DataObject) -> None:
        done, content = reader.mutate(valid, lambda sequence: data.draw(st.sampled_from(sequence)))
        _replace(path, content)
        for other, kept in others.items():
            if other.read_bytes() != kept:
                other.write_bytes(kept)
        if reader.seal:
            reader.seal(folder)
        reader.outcomes[attempt(reader, folder, f"{reader.name}, ADEPT_SEED={SEED}: {done}")] += 1

    try:
        holds()
    finally:
        for other, kept in others.items():
            other.write_bytes(kept)
        _replace(path, valid)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown < MEGABYTES, f"{reader.name}: memory grew by {grown:.0f} MB"


def _replace(path: Path, content: bytes) -> None:
    path.unlink(missing_ok=True)  # what still maps the old file keeps it
    path.write_bytes(content)


def attempt(reader: Reader, folder: Path, done: str) -> str:
    """Read once; return how it ended.

    Raises:
        AssertionError: not as promised.
    """
    refused: AdeptError | None = None
    with watched(folder), limited(done):
        try:
            reader.read(folder)
        except AdeptError as error:
            refused = error
        except Exception as error:
            raise AssertionError(f"{done}: {type(error).__name__}: {str(error)[:500]}") from error
    if refused is None:
        return "read"
    assert isinstance(refused, reader.errors), f"{done}: raised {type(refused).__name__}: {refused}"
    check_message(str(refused), done)
    return type(refused).__name__


def check_message(text: str, done: str) -> None:
    """One to three lines that a terminal can show, each of them short."""
    lines = text.split("\n")
    assert 1 <= len(lines) <= 3, f"{done}: {len(lines)} lines: {text[:1000]}"
    assert all(lines), f"{done}: an empty line: {text[:1000]}"
    assert len(text) < 2000, f"{done}: {len(text)} characters: {text[:300]}"
    odd = {c for c in text if c not in "\n\t" and unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp")}
    assert not odd, f"{done}: control characters {odd} in {text[:500]!r}"


@contextlib.contextmanager
def limited(done: str) -> Iterator[None]:
    """Raise `Hangs` inside after `SECONDS`; MemoryError where more than `GIGABYTES` would be taken."""

    def over(*_: object) -> NoReturn:
        raise Hangs(f"{done}: not done after {SECONDS} s")

    before, bounds = signal.signal(signal.SIGALRM, over), resource.getrlimit(resource.RLIMIT_DATA)
    status = Path("/proc/self/status").read_text().splitlines()
    taken = next(int(line.split()[1]) for line in status if line.startswith("VmData"))
    resource.setrlimit(resource.RLIMIT_DATA, ((taken << 10) + GIGABYTES * (1 << 30), bounds[1]))
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
        resource.setrlimit(resource.RLIMIT_DATA, bounds)


@contextlib.contextmanager
def watched(folder: Path) -> Iterator[None]:
    """Fail if a file is written outside of the folder, HOME and the caches, or a program is started."""
    caches = [os.environ[name] for name in ("HOME", "ADEPT_CACHE", "HF_HOME") if name in os.environ]
    homes = [str(folder.resolve()), *caches]
    homes += ["/dev/", str(Path(__file__).parents[2] / ".hypothesis")]
    seen: list[str] = []

    def watch(event: str, values: tuple[Any, ...]) -> None:
        if event == "open":
            flags = values[2] if isinstance(values[2], int) else 0
            if not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                return
        elif event in _PROGRAMS:
            seen.append(f"{event} {values!r:.300}")
            return
        elif event not in _WRITES:
            return
        if event in ("os.link", "os.symlink"):
            values = values[1:]  # what is made, not what it leads to
        folders = values[1:] if event != "open" else ()
        if isinstance(values[0], int) or any(isinstance(value, int) and value >= 0 for value in folders):
            return  # by a handle that was opened before, and seen then
        place = os.path.abspath(os.fsdecode(values[0]))  # noqa: PTH100  # no file system is asked
        if not place.startswith(tuple(homes)) and not place.endswith((".pyc", "__pycache__")):
            seen.append(f"{event} {place}")

    _begin_watching()
    _watches.append(watch)
    try:
        yield
    finally:
        _watches.remove(watch)
    assert not seen, f"outside of {homes}: {seen[:5]}"


def _begin_watching() -> None:
    """One hook for the process: it cannot be taken away again."""
    if not getattr(sys, "_adept_watched", False):
        sys.addaudithook(lambda event, values: [watch(event, values) for watch in tuple(_watches)] and None)
        sys._adept_watched = True  # type: ignore[attr-defined]


def make_irregular(path: Path, kind: str) -> None:
    """Put something else where a file is."""
    path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "link to a device":
        path.symlink_to("/dev/zero")
    elif kind == "link to itself":
        path.symlink_to(path.name)
    elif kind == "empty":
        path.touch()
    elif kind == "sparse":
        with path.open("wb") as stream:
            stream.truncate(100 << 30)


def check_irregular(reader: Reader, folder: Path, kind: str) -> None:
    """Something else lies where the reader's file should; it is put back."""
    path = folder / reader.file
    kept = path.read_bytes()
    make_irregular(path, kind)
    try:
        attempt(reader, folder, f"{reader.name}: {kind}")
    finally:
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        path.unlink(missing_ok=True)
        path.write_bytes(kept)
