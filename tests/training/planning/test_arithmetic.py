"""Time, schedule, disk and advice of a plan, worked by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from adept_hub.errors import OptionValueError
from adept_hub.registry import is_model, model_info
from adept_training.method.adept import Adept
from adept_training.planning import planner
from adept_training.planning.advice import Advice, Instead, advise, labels_are_plenty
from adept_training.planning.arithmetic import Seconds, limit_of, minutes_for, schedule_settings, spread_time
from adept_training.planning.choose import Candidate
from adept_training.planning.disk import Sizes, disk_of, sizes_of
from adept_training.planning.need import Outlook
from adept_training.planning.place import run_folder
from adept_training.pretraining.optim import make_optimizer
from adept_training.pretraining.recipe import load_recipe
from adept_training.runtime.state import TrainingProgress, save_state
from tests.training.support import tiny


def test_where_the_time_goes() -> None:
    """500 images and 64 of the survey at .3 s on three cores are 56.4 s; two workers decode them in 500 x .04 / 2."""
    recipe = load_recipe(None, ("data.cache=true", "data.workers=2"))
    found = spread_time(5, recipe, 500, search=0.3, decode=0.04, cores=3)
    assert found.proposals == pytest.approx(56.4)
    assert found.decoding == pytest.approx(10)
    assert found.training == pytest.approx(300 - found.start - 66.4)
    assert found.total == pytest.approx(300)
    assert found.clock == pytest.approx(found.training + 10), "engine.max_minutes counts the cache, not the boxes"
    without = spread_time(5, load_recipe(None, ("data.cache=false",)), 500, search=0.3, decode=0.04, cores=3)
    assert without.decoding == 0
    assert spread_time(1, recipe, 500, search=0.3, decode=0.04, cores=3).training == 0


def test_the_limit_is_rounded_down() -> None:
    assert limit_of(Seconds(9, 99, 10, 119)) == 2.1  # 129 s are 2.15 minutes
    assert limit_of(Seconds(9, 99, 0, 0)) == 0.1


def test_minutes_for_what_is_wanted() -> None:
    assert minutes_for(126, 2.0, 48) == pytest.approx((48 + 252) / 60)


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        # 40 steps a pass: 1,000 steps are 25 passes, and a quarter more; a twentieth of them is warm-up.
        (1000, ("schedule.epochs=32", "schedule.warmup_epochs=1.6")),
        (10, ("schedule.epochs=0.32", "schedule.warmup_epochs=0.016")),
        (0, ("schedule.epochs=0.04", "schedule.warmup_epochs=0.002")),
    ],
)
def test_the_schedule_reaches_beyond_the_clock(steps: int, expected: tuple[str, ...]) -> None:
    words = ("schedule.epochs=40", "schedule.warmup_epochs=2", "engine.batch_size=8")
    found = schedule_settings(Candidate("by hand", words, load_recipe(None, words)), 320, steps)
    assert found == expected
    assert load_recipe(None, [*words, *found]).schedule.epochs >= steps / 40


def test_disk() -> None:
    """128 px are squares of 148 (1.15 x, rounded up); two states are kept and a third is written."""
    recipe = load_recipe(None, ("data.cache=true", "views.sizes=[128,128,64]", "engine.keep=2"))
    found = disk_of(recipe, Sizes(1000, 50), images=10, boxes=30, key=12, free=7)
    assert found.cache == 10 * 148 * 148 * 3
    assert (found.states, found.export, found.free) == (3000, 50, 7)
    assert found.proposals == 10 * (69 + 48 + 24 + 2 * 16 * 30)
    assert found.needed > found.cache + found.proposals + 3050
    assert disk_of(load_recipe(None, ("data.cache=false",)), Sizes(1, 1), 10, 30, 12, 7).cache == 0


@pytest.mark.parametrize("optimizer", ["lars", "adamw"])
def test_a_state_on_disk_is_as_large_as_foreseen(optimizer: str, tmp_path: Path) -> None:
    recipe = tiny(f"optimizer.name={optimizer}", "method.name=soco", "method.projector_hidden=512")
    model = Adept(recipe.model, recipe.method, recipe.views.sizes)
    steps = make_optimizer(model, recipe.optimizer, 4)
    for param in model.parameters():
        param.grad = torch.ones_like(param) if param.requires_grad else None
    steps.step()
    path = save_state(tmp_path, model, steps, TrainingProgress(1), {}, 1)
    foreseen = sizes_of(recipe, 9)
    assert foreseen.state == pytest.approx(path.stat().st_size, rel=0.05)
    half = sizes_of(tiny("method.name=soco", "export.half=true"), 9)
    assert 2 * half.export == sizes_of(tiny("method.name=soco"), 9).export


def outlook(verdict: str, wanted: int = 1000) -> Outlook:
    return Outlook(100, 50, 2.0, wanted, verdict, 6250)  # type: ignore[arg-type]


def advice(verdict: str, wanted: int = 1000, **known: Any) -> list[Advice]:
    plain: dict[str, Any] = {
        "images": 900,
        "minutes_for_enough": 3.0,
        "instead": Instead("other weights", "x y.pth"),
        "data": (),
        "labeled": None,
    }
    return advise(outlook(verdict, wanted), **{**plain, **known})


def texts(found: list[Advice]) -> str:
    return "\n".join(f"{one.text} {one.command or ''}" for one in found)


def test_nothing_is_advised_against_a_good_plan() -> None:
    assert advice("enough", labeled=60) == []
    assert advice("some", images=205) == []


def test_too_little_time() -> None:
    told = texts(advice("too little", minutes_for_enough=312.4))
    assert "give it time for 6,250 steps, about 5 hours: --minutes 312 " in told
    assert "fine-tune other weights: adept finetune 'x y.pth' --data DATA" in told
    days = texts(advice("too little", minutes_for_enough=43_200))
    assert "6,250 steps, would take 30 days" in days
    assert "GPU" in days
    assert "--minutes" not in texts(advice("too little", 0, minutes_for_enough=0))


def test_too_few_images() -> None:
    told = advice("enough", images=204, data=["voc:my data"])
    assert len(told) == 1
    assert told[0].text.startswith("204 images are fewer than in any run that gained (205)")
    assert "--data 'voc:my data'" in (told[0].command or "")


def test_plenty_of_labels() -> None:
    assert [labels_are_plenty(*pair) for pair in ((999, 9000), (1000, 9000), (30, 60), (29, 60))] == [
        False, True, True, False,
    ]  # fmt: skip
    assert "plenty" in texts(advice("enough", labeled=450))
    assert advice("enough", labeled=449) == []
    told = texts(advice("too little", labeled=450, minutes_for_enough=9))
    assert told.count("adept finetune") == 1
    assert "--minutes 9" in told


def test_the_run_is_outside_of_the_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = tmp_path / "my photos"
    (images / "below").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert run_folder("my photos", None) == Path("runs/my-photos")
    Path("runs/my-photos").mkdir(parents=True)
    assert run_folder("my photos", None) == Path("runs/my-photos-2")
    assert run_folder("hf-datasets:org/beans:train", None) == Path("runs/beans")
    assert run_folder("train-{000..031}.tar", None).parent == Path("runs")
    monkeypatch.chdir(images / "below")
    assert run_folder(str(images), None) == tmp_path / "runs" / "my-photos-2"
    assert run_folder(str(images), tmp_path / "here") == tmp_path / "here"
    with pytest.raises(OptionValueError, match="inside of the images"):
        run_folder(str(images), "here")


@pytest.mark.parametrize(
    ("recipe", "source"),
    [
        ("own_photos_cpu", "detection"),
        ("own_photos_detection", "detection"),
        ("adept_joint_r50_100ep", "hf-hub:timm/resnet50.a1_in1k"),
    ],
)
def test_the_advised_start_has_the_architecture_of_the_recipe(recipe: str, source: str) -> None:
    model = load_recipe(recipe).model
    assert planner._instead(load_recipe(recipe)).source == source
    if is_model(source):
        spec = model_info(source).spec
        assert (spec.depth, spec.fpn_channels, spec.head_fc_channels) == (
            model.depth, model.fpn_channels, model.head_fc_channels,
        )  # fmt: skip
