"""kill -9 at many moments of every command that writes: nothing half-written under a final name, and it goes on."""

from __future__ import annotations

import json
import os
import select
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from adept_hub.checkpoint.folder import read_config, read_tensors
from adept_hub.detectors.folder import read_detector
from adept_hub.errors import AdeptError
from adept_training.images import open_images
from adept_training.runtime.state import saved_states
from tests.hostile.kills import KILLS, LONG, adept, files_of, leavings, moments, run, start
from tests.hostile.thin import thin_adept, thin_networks
from tests.training.conftest import TINY, write_voc
from tests.training.support import RandomBoxes, tiny, write_photographs

Source = Callable[..., tuple[Path, object, object]]


@pytest.fixture(scope="module")
def thin() -> Iterator[None]:
    with thin_networks():
        yield


@pytest.fixture(scope="module")
def detector(thin: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fine-tuned detector of random numbers."""
    from adept_hub.detectors.folder import DetectorConfig
    from adept_hub.spec import DetectorSpec
    from adept_training.finetuning.detector import build_detector, save_detector
    from adept_training.finetuning.recipe import load_finetune_recipe

    spec = DetectorSpec(depth=18, fpn_channels=16, head_conv_channels=16, head_fc_channels=32)
    recipe = load_finetune_recipe(None, TINY).detector
    folder = tmp_path_factory.mktemp("detector") / "best"
    model = build_detector("scratch", 2, recipe, 3, spec)
    save_detector(folder, model, DetectorConfig("scratch", ("a", "b"), recipe, 1, {}), spec, None)
    return folder


def test_at_any_time(make_checkpoint: Source, tmp_path: Path) -> None:
    """Killed by the clock: torch and safetensors write where no change is noticed."""
    folder, home = make_checkpoint()[0], tmp_path / "home"
    home.mkdir()
    words = ("export", str(folder), "--to", "detectron2", "--out", str(home / "out"))
    whole = run(adept, *words, below=home)
    expected = files_of(home / "out")
    (home / "out").rename(tmp_path / "kept")
    for after in [whole.seconds * (i + 1) / (KILLS + 1) for i in range(KILLS)]:
        run(adept, *words, below=home, after=after)
        if (home / "out").exists():
            assert files_of(home / "out") == expected
            (home / "out").rename(tmp_path / f"killed{after}")
        assert run(adept, *words, below=home).status == 0
        assert files_of(home / "out") == expected
        assert leavings(home) == []
        (home / "out").rename(tmp_path / f"again{after}")


def pretrain(images: Path, folder: Path) -> None:
    from adept_training.pretraining.asked import Asked
    from adept_training.pretraining.pretrain import pretrain

    settings = ("engine.checkpoint_minutes=0", "engine.keep=2", "schedule.epochs=3", "engine.batch_size=3",
                "data.held_out=1", "views.sizes=[48,32,32]")  # fmt: skip
    resume, asked = bool(saved_states(folder / "checkpoints")), Asked(report=LONG)
    with thin_networks():
        pretrain(tiny(*settings), open_images(images), RandomBoxes(), folder, resume=resume, asked=asked)


@pytest.mark.slow
def test_pretrain(thin: None, tmp_path: Path) -> None:
    write_photographs(tmp_path / "photographs", 4)  # a step per epoch, and a state after each
    whole = run(pretrain, tmp_path / "photographs", tmp_path / "whole", below=tmp_path / "whole")
    assert whole.status == 0, whole.output
    expected = read_tensors(tmp_path / "whole" / "export", read_config(tmp_path / "whole" / "export"))
    for at in moments(whole.changes):
        folder = tmp_path / f"killed{at}"
        dead = run(pretrain, tmp_path / "photographs", folder, below=folder, at=at)
        assert dead.killed, dead.output
        if (folder / "export").exists():
            read_tensors(folder / "export", read_config(folder / "export"))
        again = run(pretrain, tmp_path / "photographs", folder, below=folder)
        assert again.status == 0, again.output
        found = read_tensors(folder / "export", read_config(folder / "export"))
        assert all(torch.equal(value, found[key]) for key, value in expected.items()), at
        assert leavings(folder) == leavings(folder / "checkpoints") == []


def finetune(detector: Path, voc: Path, folder: Path) -> int:
    settings = [*TINY, "engine.checkpoint_minutes=0", "engine.evaluations=1", "schedule.iterations=3"]
    words = [word for setting in settings for word in ("--set", setting)]
    resume = ["--resume"] if saved_states(folder / "checkpoints") else []
    return thin_adept("finetune", str(detector), "--data", f"voc:{voc}", "--device", "cpu", "--out", str(folder),
                      *words, *resume)  # fmt: skip


@pytest.mark.slow
def test_finetune(detector: Path, tmp_path: Path) -> None:
    voc = write_voc(tmp_path / "voc", images=2)
    whole = run(finetune, detector, voc, tmp_path / "whole", below=tmp_path / "whole")
    assert whole.status == 0, whole.output
    for at in moments(whole.changes):
        folder = tmp_path / f"killed{at}"
        dead = run(finetune, detector, voc, folder, below=folder, at=at)
        assert dead.killed, dead.output
        for name in ("best", "last"):
            if (folder / name).exists():
                read_detector(folder / name)
        again = run(finetune, detector, voc, folder, below=folder)
        assert again.status == 0, again.output
        for name in ("best", "last"):
            for file in ("model.safetensors", "predictors.safetensors"):
                ours, theirs = (root / name / file for root in (folder, tmp_path / "whole"))
                assert ours.read_bytes() == theirs.read_bytes(), (at, name, file)
        assert leavings(folder) == leavings(folder / "checkpoints") == []


def compare(detector: Path, voc: Path, folder: Path) -> int:
    settings = [word for setting in [*TINY, "schedule.iterations=1"] for word in ("--set", setting)]
    return thin_adept("compare", "scratch", str(detector), "--data", f"voc:{voc}", "--device", "cpu",
                      "--out", str(folder), "--image-counts", "2", "--seeds", "1", *settings)  # fmt: skip


@pytest.mark.slow
def test_compare(detector: Path, tmp_path: Path) -> None:
    voc = write_voc(tmp_path / "voc", images=2)
    whole = run(compare, detector, voc, tmp_path / "whole", below=tmp_path / "whole")
    assert whole.status == 0, whole.output
    for at in moments(whole.changes):
        folder = tmp_path / f"killed{at}"
        assert run(compare, detector, voc, folder, below=folder, at=at).killed
        again = run(compare, detector, voc, folder, below=folder)
        assert again.status == 0, again.output
        assert len((folder / "runs.jsonl").read_text().splitlines()) == 2, "no cell is trained twice"
        assert leavings(folder) == leavings(folder / "subsets") == []


def pretrain_at_terminal(folder: Path, terminal: str) -> None:
    """A run without end, whose controlling terminal is another one than that of the tests."""
    from adept_training.pretraining.asked import Asked
    from adept_training.pretraining.pretrain import pretrain

    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests may run under nohup, whose children ignore it
    os.setsid()
    # The first terminal that a session opens is the one that controls it.
    with open(os.open(terminal, os.O_RDWR), "w", buffering=1) as stream, thin_networks():  # noqa: PTH123
        pretrain(tiny("schedule.epochs=10000"), open_images(folder / "photographs"), RandomBoxes(), folder / "run",
                 stream=stream, asked=Asked(report=False))  # fmt: skip


@pytest.mark.slow
def test_closing_the_terminal_saves_the_state(tmp_path: Path) -> None:
    write_photographs(tmp_path / "photographs", 4)
    ours, theirs = os.openpty()
    process = start(pretrain_at_terminal, tmp_path, os.ttyname(theirs))
    shown = b""
    while b"step 2/" not in shown:
        assert process.is_alive(), shown.decode()
        shown += os.read(ours, 1000) if select.select([ours], [], [], 1)[0] else b""
    os.close(theirs)
    os.close(ours)
    process.join(120)
    assert process.exitcode is not None, "it goes on without its terminal"
    assert saved_states(tmp_path / "run" / "checkpoints"), "nothing was saved"
    last = json.loads((tmp_path / "run" / "log.jsonl").read_text().splitlines()[-1])
    assert (last["kind"], last["interrupted"]) == ("end", True)


def test_the_harness_kills_where_it_should(tmp_path: Path) -> None:
    assert run(is_preloaded, below=tmp_path / "x").status == 5, "a fork server does not report what it cannot import"
    whole = run(three_files, tmp_path / "a", below=tmp_path)
    assert (whole.killed, whole.status, whole.changes) == (False, 7, 4)
    for at, left in enumerate([None, [], ["0"], ["0", "1"]]):
        assert run(three_files, tmp_path / f"b{at}", below=tmp_path, at=at).killed
        folder = tmp_path / f"b{at}"
        assert left == (sorted(p.name for p in folder.iterdir()) if folder.exists() else None)
    with pytest.raises(AdeptError):
        read_detector(tmp_path / "a")


def is_preloaded() -> int:
    return 5 if "tests.hostile.preloaded" in sys.modules else 0


def three_files(folder: Path) -> int:
    folder.mkdir()
    for i in range(3):
        (folder / str(i)).write_text("x")
    return 7
