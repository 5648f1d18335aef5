"""What kills, full disks and other processes may do to a writer, and what they may not."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors import SafetensorError

from adept_hub.errors import DiskFullError, IntegrityError, OutputExistsError
from adept_hub.io import write as module
from adept_hub.io.disk_errors import disk_errors
from adept_hub.io.write import append_line, atomic_file, atomic_folder, clear_leavings


@pytest.fixture(autouse=True)
def _as_a_new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_swept", set())


def run(program: str, *words: str, limit: int | None = None) -> subprocess.CompletedProcess[str]:
    """Run a program in another process, which may write no file beyond ``limit`` bytes."""

    def restrict() -> None:
        if limit is not None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    return subprocess.run(
        [sys.executable, "-c", program, *words],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        preexec_fn=restrict,
        capture_output=True,
        text=True,
        check=False,
    )


WRITERS = """
import sys, numpy as np, torch, pyarrow as pa, pyarrow.parquet as pq
from pathlib import Path
from PIL import Image
from safetensors.torch import save_file
from adept_hub.io.write import append_line, atomic_file, atomic_folder
from adept_hub.errors import DiskFullError
x, noise = torch.randn(2_000_000), np.random.default_rng(0).integers(0, 256, (1500, 1500, 3), dtype=np.uint8)
def through_arrow(path):
    with pa.OSFile(str(path), "wb") as file:
        file.write(x.numpy().tobytes())
writers = {
    "torch": lambda path: torch.save({"x": x}, path),
    "torch, little": lambda path: torch.save({"x": x[:270_000].clone()}, path),
    "torch, into a stream": lambda path: torch.save({"x": x}, path.open("wb")),
    "safetensors": lambda path: save_file({"x": x}, path),
    "numpy": lambda path: np.save(path.open("wb"), x.numpy()),
    "parquet": lambda path: pq.write_table(pa.table({"x": x.numpy()}), path, compression="none"),
    "arrow": through_arrow,
    "an image": lambda path: Image.fromarray(noise).save(path, format="PNG"),
    "text": lambda path: path.write_text("x" * 8_000_000),
}
root = Path(sys.argv[1])
for name, write in writers.items():
    for place in (atomic_file, atomic_folder):
        try:
            with place(root / "target") as temporary:
                write(temporary / "file" if place is atomic_folder else temporary)
            sys.exit(f"{name} wrote it")
        except DiskFullError as error:
            assert "No space left" in str(error) and len(str(error).splitlines()) == 2, (name, error)
        assert not list(root.iterdir()), (name, list(root.iterdir()))
try:
    append_line(root / "log", "x" * 8_000_000)
    sys.exit("it was appended")
except DiskFullError:
    pass
"""


def test_a_limit_is_told_in_the_same_words_whichever_library_meets_it(tmp_path: Path) -> None:
    done = run(WRITERS, str(tmp_path), limit=1 << 20)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs to mount a small file system")
def test_so_is_a_full_disk(tmp_path: Path) -> None:
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(tmp_path)], check=False).returncode:
        pytest.skip("this machine mounts nothing")
    try:
        done = run(WRITERS, str(tmp_path))
        assert done.returncode == 0, done.stderr[-2000:]
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("PytorchStreamReader failed reading zip archive: failed finding central directory"),
        RuntimeError("shape '[2]' is invalid for input of size 3"),
        IntegrityError("not a complete safetensors file: I/O error (os error 28)"),
        FileNotFoundError(errno.ENOENT, "No such file or directory", "x"),
        PermissionError(errno.EACCES, "Permission denied", "/elsewhere/input.txt"),
    ],
    ids=str,
)
def test_what_the_disk_has_not_done_is_not_laid_to_it(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(type(error)) as caught, disk_errors(tmp_path / "target"):
        raise error
    assert caught.value is error


@pytest.mark.parametrize(
    "words",
    [
        "I/O error: No space left on device (os error 28)",
        'IoError(Os { code: 28, kind: StorageFull, message: "No space left on device" })',
    ],
)
def test_a_full_disk_in_the_words_of_each_safetensors(tmp_path: Path, words: str) -> None:
    """Before 0.5 its errors are Rust's own, printed for debugging."""
    with pytest.raises(DiskFullError, match=r"^No space left while writing .*target"), disk_errors(tmp_path / "target"):
        raise SafetensorError(f"Error while serializing: {words}")


def test_a_folder_below_a_file_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for below in (tmp_path / "file" / "out", tmp_path / "file" / "deep" / "out"):
        with pytest.raises(DiskFullError, match="file is a file, not a folder"), atomic_folder(below):
            pass
        with pytest.raises(DiskFullError, match="file is a file, not a folder"), atomic_file(below):
            pass


def test_the_message_names_what_the_user_asked_for(tmp_path: Path) -> None:
    def write() -> None:
        with atomic_folder(tmp_path / "out") as folder, atomic_file(folder / "deep" / "weights"):
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(DiskFullError) as caught:
        write()
    assert str(caught.value).startswith(f"No space left while writing {tmp_path / 'out'} (")
    assert "adept-tmp" not in str(caught.value)


def test_the_first_of_two_writers_wins_and_the_other_is_told(tmp_path: Path) -> None:
    out = tmp_path / "out"

    def race() -> None:
        with atomic_folder(out) as slow:
            (slow / "who").write_text("slow")
            with atomic_folder(out) as quick:
                (quick / "who").write_text("quick")

    with pytest.raises(OutputExistsError, match="already exists"):
        race()
    assert (out / "who").read_text() == "quick"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_of_two_that_overwrite_the_last_wins_whole(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with atomic_folder(out, overwrite=True) as slow:
        (slow / "slow").write_text("")
        with atomic_folder(out, overwrite=True) as quick:
            (quick / "quick").write_text("")
    assert [path.name for path in out.iterdir()] == ["slow"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_link_stays_one_and_its_folder_is_written(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "disk" / "here")
    with atomic_folder(tmp_path / "out") as temporary:
        (temporary / "a").write_text("1")
    assert (tmp_path / "out").is_symlink()
    assert (tmp_path / "disk" / "here" / "a").read_text() == "1"


KILLED = """
import os, signal, sys
from pathlib import Path
from adept_hub.io.write import atomic_file, atomic_folder
out = Path(sys.argv[1])
if "replacing" in sys.argv:  # between the two renames
    real, calls = Path.rename, []
    def rename(self, target):
        calls.append(target)
        if len(calls) == 3:  # onto what is there, which fails; aside; and into place
            os.kill(os.getpid(), signal.SIGKILL)
        return real(self, target)
    Path.rename = rename
with atomic_file(out.parent / "file.txt") as file, atomic_folder(out, overwrite=True) as folder:
    file.write_text("half")
    (folder / "half").write_text("half")
    if "replacing" not in sys.argv:
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_leavings_of_the_dead_are_cleared_and_those_of_the_living_are_not(tmp_path: Path) -> None:
    (tmp_path / ".out.settings.tmp").write_text("the user's own")
    assert run(KILLED, str(tmp_path / "out")).returncode == -signal.SIGKILL
    left = {path.name for path in tmp_path.iterdir()}
    assert len(left) == 3, left
    with atomic_folder(tmp_path / "other") as living:
        (living / "a").write_text("1")
        module._swept.clear()
        with atomic_file(tmp_path / "another") as temporary:
            temporary.write_text("2")
        assert {path.name for path in tmp_path.iterdir()} == {".out.settings.tmp", "another", living.name}
    assert {path.name for path in tmp_path.iterdir()} == {".out.settings.tmp", "another", "other"}


@pytest.mark.parametrize("how", ["writing", "clearing"])
def test_what_was_set_aside_when_the_process_was_killed_is_put_back(tmp_path: Path, how: str) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "old").write_text("1")
    assert run(KILLED, str(out), "replacing").returncode == -signal.SIGKILL
    assert not out.exists(), "killed where it hurts"
    if how == "clearing":
        clear_leavings(tmp_path)
    else:
        with atomic_file(tmp_path / "file.txt") as temporary:
            temporary.write_text("")
    assert [path.name for path in out.iterdir()] == ["old"]
    assert {path.name for path in tmp_path.iterdir()} <= {"out", "file.txt"}


def test_a_replacement_that_fails_puts_the_old_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, real = tmp_path / "out", Path.rename
    out.mkdir()
    (out / "old").write_text("1")

    def rename(self: Path, target: Path) -> Path:
        if target == out and not out.exists() and (self / "new").exists():
            raise OSError(errno.EIO, "Input/output error")
        return real(self, target)

    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(OSError, match="Input/output"), atomic_folder(out, overwrite=True) as temporary:
        (temporary / "new").write_text("2")
    assert [path.name for path in out.iterdir()] == ["old"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_names_given_are_cleared_as_well(tmp_path: Path) -> None:
    for name in (".best.abc", ".step-00000007.pt.x1y2z3"):
        (tmp_path / name).write_text("")
    (tmp_path / ".last.x").mkdir()
    (tmp_path / ".last.x" / "weights").write_text("")
    (tmp_path / "best").mkdir()
    clear_leavings(tmp_path, ".best.*", ".last.*", ".step-*.pt.*")
    assert [path.name for path in tmp_path.iterdir()] == ["best"]


def test_a_line_that_a_kill_left_torn_takes_no_other_with_it(tmp_path: Path) -> None:
    log = tmp_path / "deep" / "log.jsonl"
    append_line(log, '{"a": 1}')
    with log.open("ab") as file:
        file.write(b'{"a": \xc3')
    append_line(log, '{"a": "é"}')
    append_line(log, '{"a": 3}')
    assert log.read_bytes() == b'{"a": 1}\n{"a": \xc3\n{"a": "\xc3\xa9"}\n{"a": 3}\n'
