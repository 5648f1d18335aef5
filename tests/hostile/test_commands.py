"""Every command that writes, killed at any moment or out of disk space: whole or not at all, and the next one works.

``ADEPT_KILLS`` asks for more moments of each. A full disk needs a small file system, and that needs root.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.hostile.commands import COMMANDS, check_whole, make_inputs
from tests.hostile.kills import LONG, chains, files_of, run
from tests.hostile.thin import thin_adept, thin_networks

#: In the short form without those that `tests/hostile/test_kills.py` looks at more closely.
KILLED = [name for name in COMMANDS if LONG or name not in ("finetune", "compare")]
FILLED = [name for name, command in COMMANDS.items() if LONG or command.seconds < 1]


@pytest.fixture(scope="module", autouse=True)
def _thin() -> Iterator[None]:
    with thin_networks():
        yield


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from adept_hub.checkpoint.folder import write_checkpoint
    from adept_hub.models import DetectorParts
    from adept_hub.spec import PARTS, DetectorSpec, Provenance

    spec = DetectorSpec(depth=18, fpn_channels=16, head_conv_channels=16, head_fc_channels=32)
    home = tmp_path_factory.mktemp("inputs")
    write_checkpoint(
        home / "made", DetectorParts(spec).state_dict(), name="adept_joint_r18_fpn16.test", spec=spec,
        provenance=Provenance("adept_joint", "random numbers", 1, 1.0, "target"), license="mit", half=True, parts=PARTS,
    )  # fmt: skip
    return make_inputs(home / "in", home / "made")


@pytest.mark.parametrize("name", KILLED)
def test_killed(name: str, inputs: Path, tmp_path: Path) -> None:
    command, home = COMMANDS[name], tmp_path / "home"
    home.mkdir()
    whole = run(thin_adept, *command.argv(inputs, home / "out"), below=home)
    assert whole.status == 0, whole.output
    expected = files_of(home / "out")
    shutil.rmtree(home / "out")
    for chain in chains(whole, seed=sum(name.encode()), resumes=command.keeps):
        for moment in chain:
            dead = run(thin_adept, *command.argv(inputs, home / "out"), below=home, **moment)
            assert dead.killed or dead.status == 0, dead.output  # threads may make one change less
            check_whole(command, home / "out", expected, finished=False)
        begun = (home / "out" / "checkpoints").exists() and any((home / "out" / "checkpoints").glob("step-*.pt"))
        again = run(thin_adept, *command.argv(inputs, home / "out", resume=begun), below=home)
        if again.status == 1 and "already" in again.output:  # it was whole before it was killed
            again = run(thin_adept, *command.argv(inputs, home / "other"), below=home)
            shutil.rmtree(home / "other")
        assert again.status == 0, (chain, again.output)
        check_whole(command, home / "out", expected, finished=True)
        shutil.rmtree(home / "out")


@pytest.fixture
def small_disk() -> Iterator[Callable[[int], Path]]:
    """A file system of so many KB, which can be made larger; skipped aloud where none can be mounted."""
    place = Path(tempfile.mkdtemp(prefix="adept-small-disk-"))
    mounted = False

    def resize(kilobytes: int) -> Path:
        nonlocal mounted
        options = f"{'remount,' if mounted else ''}size={kilobytes}k"
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "adept-test", str(place)], capture_output=True)
        if done.returncode != 0:
            pytest.skip(f"no small file system can be mounted (root is needed): {done.stderr.decode()[:100].strip()}")
        mounted = True
        return place

    yield resize
    if mounted:
        subprocess.run(["umount", str(place)], check=True)
    os.rmdir(place)  # noqa: PTH106


@pytest.mark.parametrize("name", FILLED)
def test_a_full_disk(name: str, inputs: Path, tmp_path: Path, small_disk: Callable[[int], Path]) -> None:
    command = COMMANDS[name]
    disk = small_disk(1 << 20)
    whole = run(thin_adept, *command.argv(inputs, disk / "out"), below=disk)
    assert whole.status == 0, whole.output
    expected, needed = files_of(disk / "out"), _used(disk)
    shutil.rmtree(disk / "out")
    for part in (0.0, 0.3, 0.9) if LONG else (0.0, 0.6):
        small_disk(max(int(needed * part), 4))
        if part == 0:  # files of a page or two would find their place
            (disk / "ballast").write_bytes(bytes(4096))
        full = run(thin_adept, *command.argv(inputs, disk / "out"), below=disk)
        (disk / "ballast").unlink(missing_ok=True)
        if full.status == 0 and part > 0:
            assert _used(disk) <= int(needed * part) + 4, "what fitted is what was needed"
            check_whole(command, disk / "out", expected, finished=True)
            shutil.rmtree(disk / "out")
            continue
        assert full.status == 1, (part, full.output)
        assert "No space left while writing" in full.output, (part, full.output[-2000:])
        assert "Traceback" not in full.output, (part, full.output[-2000:])
        if (disk / "out").exists():
            check_whole(command, disk / "out", expected, finished=False)
        small_disk(1 << 20)
        begun = (disk / "out" / "checkpoints").exists() and any((disk / "out" / "checkpoints").glob("step-*.pt"))
        again = run(thin_adept, *command.argv(inputs, disk / "out", resume=begun), below=disk)
        assert again.status == 0, (part, again.output)
        check_whole(command, disk / "out", expected, finished=True)
        shutil.rmtree(disk / "out")


def _used(disk: Path) -> int:
    facts = os.statvfs(disk)
    return (facts.f_blocks - facts.f_bfree) * facts.f_frsize >> 10
