"""Nothing breaks Windows by design: what only POSIX has is asked for before it is used, and drives keep their colons.

None of this ran on Windows (docs/platforms.md): the rules are checked in the source and with patched modules.
"""

from __future__ import annotations

import ast
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

import adept_hub
import adept_training
from adept_hub.errors import DataError
from adept_hub.io import folder_lock
from adept_training.labels.fields import split_fields, split_last
from adept_training.labels.sources import read_data
from adept_training.predicting.write import safe_names
from adept_training.runtime import workers
from tests.house import write_house_data

#: Names that Python on Windows lacks, by module, and ``os.kill``, which ends a process there with whatever signal.
POSIX = {
    "os": {"fork", "forkpty", "fchmod", "fchown", "chown", "getuid", "geteuid", "getgid", "killpg", "setsid", "mkfifo",
           "sysconf", "sched_getaffinity", "uname", "statvfs", "nice", "O_NONBLOCK", "O_NOFOLLOW", "O_CLOEXEC", "kill"},
    "signal": {"SIGUSR1", "SIGUSR2", "SIGHUP", "SIGALRM", "SIGKILL", "alarm", "setitimer", "pause", "pthread_sigmask"},
    "socket": {"AF_UNIX"},
}  # fmt: skip
MODULES = {"fcntl", "resource", "pwd", "grp", "termios", "tty", "pty"}


def uses(tree: ast.Module) -> Iterator[str]:
    """Each use of such a name in a function that does not ask for it, and each import that may fail."""
    for function in [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]:
        text = ast.unparse(function)
        for node in ast.walk(function):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                module, name = node.value.id, node.attr
                asked = f"hasattr({module}, '{name}')" in text or "os.name" in text
                if name in POSIX.get(module, ()) and not asked:
                    yield f"{module}.{name} in {function.name}"
    guarded = {id(inner) for node in ast.walk(tree) if isinstance(node, ast.Try) for inner in ast.walk(node)}
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        yield from (f"import {name}" for name in names if name in MODULES and id(node) not in guarded)


def test_what_only_posix_has_is_asked_for_first() -> None:
    found = {}
    for package in (adept_hub, adept_training):
        for path in Path(package.__file__).parent.rglob("*.py"):
            if names := list(uses(ast.parse(path.read_text(encoding="utf-8")))):
                found[path.name] = names
    assert found == {}
    assert list(uses(ast.parse("import fcntl\ndef f(): os.fork(); signal.alarm(3)"))) == [
        "os.fork in f",
        "signal.alarm in f",
        "import fcntl",
    ]


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        (r"C:\a.json:D:\images", [r"C:\a.json", r"D:\images"]),
        ("C:/a.json:C:/images", ["C:/a.json", "C:/images"]),
        (r"a.json:C:\images", ["a.json", r"C:\images"]),
        (r"C:\a b.json:images", [r"C:\a b.json", "images"]),
        (r"C:\voc:train:val", [r"C:\voc", "train", "val"]),
        (r"C:\voc", [r"C:\voc"]),
        ("/data/a.json:/images", ["/data/a.json", "/images"]),
        ("dir/a:/images", ["dir/a", "/images"]),
        ("voc:x:y", ["voc", "x", "y"]),
    ],
)
def test_a_drive_s_colon_ends_no_field(text: str, fields: list[str]) -> None:
    assert split_fields(text) == fields
    *before, last = fields
    assert split_last(text) == (":".join(before), ":" if before else "", last)


def test_drives_in_the_words_of_a_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On POSIX these are names of files, which are found only where no colon is taken for the end of a field."""
    monkeypatch.chdir(tmp_path)
    house = write_house_data(Path("house"))
    annotations, images = house.words()[0].removeprefix("coco:").split(":")
    Path(r"C:\a.json").write_bytes(Path(annotations).read_bytes())
    Path(r"C:\images").symlink_to(Path(images).absolute())
    plain, _ = read_data(house.words()[0])
    drive, _ = read_data(r"coco:C:\a.json:C:\images")
    assert len(drive.train) == len(plain.train) > 0
    with pytest.raises(DataError, match=r"C:\\voc is not a Pascal VOC folder"):
        read_data(r"voc:C:\voc:train")


def test_names_of_pictures_stay_below_their_folder() -> None:
    keys = ["C:/data/one/a.png", "C:/data/two/a.png"]
    assert safe_names(keys) == {keys[0]: "one/a", keys[1]: "two/a"}
    keys = ["C:/data/a.png", "D:/a.png"]
    assert safe_names(keys) == {keys[0]: "C/data/a", keys[1]: "D/a"}


def test_a_lock_s_owner_is_never_signaled_on_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    owner: dict[str, object] = {"pid": 2**22 + 1, "host": folder_lock.socket.gethostname()}
    assert folder_lock._is_dead(owner)
    monkeypatch.setattr(folder_lock, "os", SimpleNamespace(name="nt", kill=lambda *_: pytest.fail("signaled")))
    assert not folder_lock._is_dead(owner)


def test_loader_processes_start_without_posix_signals(monkeypatch: pytest.MonkeyPatch) -> None:
    ignored: list[int] = []
    windows = SimpleNamespace(
        SIGINT=signal.SIGINT, SIGTERM=signal.SIGTERM, SIG_IGN=signal.SIG_IGN,
        signal=lambda number, _: ignored.append(number),
    )  # fmt: skip
    monkeypatch.setattr(workers, "signal", windows)
    workers.start_worker(0)
    assert ignored == [signal.SIGINT]
    assert os.name != "nt" or not hasattr(signal, "alarm")
