"""kill -9 at many moments of every command that writes: nothing half-written under a final name, and it goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from adept_hub.checkpoint import read_config, read_tensors
from adept_hub.errors import AdeptError
from adept_training.downstream.detector import load_detector
from adept_training.engine.state import saved_states
from tests.hostile.kills import KILLS, adept, files_of, leavings, moments, run
from tests.training.downstream.conftest import TINY, write_voc
from tests.training.support import RandomBoxes, tiny, write_photographs

Source = Callable[..., tuple[Path, object, object]]


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fine-tuned detector of random numbers."""
    from adept_hub.spec import DetectorSpec
    from adept_training.downstream.detector import DetectorConfig, build_detector, save_detector
    from adept_training.downstream.recipe import load_finetune_recipe

    spec = DetectorSpec(depth=18, fpn_channels=16, head_conv_channels=16, head_fc_channels=32)
    recipe = load_finetune_recipe(None, TINY).detector
    folder = tmp_path_factory.mktemp("detector") / "best"
    model = build_detector("scratch", 2, recipe, 3, spec)
    save_detector(folder, model, DetectorConfig("scratch", ("a", "b"), recipe, 1, {}), spec, None)
    return folder


@pytest.mark.parametrize(
    "form", ["detectron2", *(pytest.param(form, marks=pytest.mark.slow) for form in ("torchvision", "mmdet", "onnx"))]
)
def test_deploy(detector: Path, form: str, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    words = ("deploy", str(detector), "--to", form, "--out", str(home / "out"))
    whole = run(adept, *words, below=home)
    assert whole.status == 0, whole.output
    expected = files_of(home / "out")
    (home / "out").rename(tmp_path / "kept")
    for at in moments(whole.changes):
        dead = run(adept, *words, below=home, at=at)
        assert dead.killed, dead.output
        if (home / "out").exists():
            assert files_of(home / "out") == expected, at
            (home / "out").rename(tmp_path / f"killed{at}")
        again = run(adept, *words, below=home)
        assert again.status == 0, again.output
        assert files_of(home / "out") == expected
        assert leavings(home) == []
        (home / "out").rename(tmp_path / f"again{at}")


def test_export(make_checkpoint: Source, tmp_path: Path) -> None:
    folder, home = make_checkpoint()[0], tmp_path / "home"
    home.mkdir()
    words = ("export", str(folder), "--to", "detectron2", "--out", str(home / "out"))
    whole = run(adept, *words, below=home)
    expected = files_of(home / "out")
    (home / "out").rename(tmp_path / "kept")
    times = [whole.seconds * (i + 1) / (KILLS + 1) for i in range(KILLS)]  # torch writes where no change is noticed
    for at, after in [*((at, None) for at in moments(whole.changes)), *((None, after) for after in times)]:
        run(adept, *words, below=home, at=at, after=after)
        if (home / "out").exists():
            assert files_of(home / "out") == expected
            (home / "out").rename(tmp_path / f"killed{at}{after}")
        assert run(adept, *words, below=home).status == 0
        assert files_of(home / "out") == expected
        assert leavings(home) == []
        (home / "out").rename(tmp_path / f"again{at}{after}")


def pretrain(images: Path, folder: Path) -> None:
    from adept_training.engine.pretrain import pretrain
    from adept_training.images import open_images

    settings = ("engine.checkpoint_minutes=0", "engine.keep=2", "schedule.epochs=2", "engine.batch_size=8",
                "data.held_out=1")  # fmt: skip
    resume = bool(saved_states(folder / "checkpoints"))
    pretrain(tiny(*settings), open_images(images), RandomBoxes(), folder, resume=resume)


@pytest.mark.slow
def test_pretrain(tmp_path: Path) -> None:
    write_photographs(tmp_path / "photographs", 20)
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
    settings = [*TINY, "engine.checkpoint_minutes=0", "schedule.iterations=4"]
    words = [word for setting in settings for word in ("--set", setting)]
    resume = ["--resume"] if saved_states(folder / "checkpoints") else []
    return adept("finetune", str(detector), "--data", f"voc:{voc}", "--device", "cpu", "--out", str(folder), *words,
                 *resume)  # fmt: skip


@pytest.mark.slow
def test_finetune(detector: Path, tmp_path: Path) -> None:
    voc = write_voc(tmp_path / "voc", images=4)
    whole = run(finetune, detector, voc, tmp_path / "whole", below=tmp_path / "whole")
    assert whole.status == 0, whole.output
    for at in moments(whole.changes):
        folder = tmp_path / f"killed{at}"
        dead = run(finetune, detector, voc, folder, below=folder, at=at)
        assert dead.killed, dead.output
        for name in ("best", "last"):
            if (folder / name).exists():
                load_detector(folder / name)
        again = run(finetune, detector, voc, folder, below=folder)
        assert again.status == 0, again.output
        for name in ("best", "last"):
            for file in ("model.safetensors", "predictors.safetensors"):
                ours, theirs = (root / name / file for root in (folder, tmp_path / "whole"))
                assert ours.read_bytes() == theirs.read_bytes(), (at, name, file)
        assert leavings(folder) == leavings(folder / "checkpoints") == []


def compare(detector: Path, voc: Path, folder: Path) -> int:
    settings = [word for setting in [*TINY, "schedule.iterations=1"] for word in ("--set", setting)]
    return adept("compare", "scratch", str(detector), "--data", f"voc:{voc}", "--device", "cpu", "--out", str(folder),
                 "--images", "2", "--seeds", "1", *settings)  # fmt: skip


@pytest.mark.slow
def test_compare(detector: Path, tmp_path: Path) -> None:
    voc = write_voc(tmp_path / "voc", images=3)
    whole = run(compare, detector, voc, tmp_path / "whole", below=tmp_path / "whole")
    assert whole.status == 0, whole.output
    for at in moments(whole.changes):
        folder = tmp_path / f"killed{at}"
        assert run(compare, detector, voc, folder, below=folder, at=at).killed
        again = run(compare, detector, voc, folder, below=folder)
        assert again.status == 0, again.output
        assert len((folder / "runs.jsonl").read_text().splitlines()) == 2, "no cell is trained twice"
        assert leavings(folder) == leavings(folder / "subsets") == []


def test_the_harness_kills_where_it_should(tmp_path: Path) -> None:
    whole = run(three_files, tmp_path / "a", below=tmp_path)
    assert (whole.killed, whole.status, whole.changes) == (False, 7, 4)
    for at, left in enumerate([None, [], ["0"], ["0", "1"]]):
        assert run(three_files, tmp_path / f"b{at}", below=tmp_path, at=at).killed
        folder = tmp_path / f"b{at}"
        assert left == (sorted(p.name for p in folder.iterdir()) if folder.exists() else None)
    with pytest.raises(AdeptError):
        load_detector(tmp_path / "a")


def three_files(folder: Path) -> int:
    folder.mkdir()
    for i in range(3):
        (folder / str(i)).write_text("x")
    return 7
