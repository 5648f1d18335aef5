"""Settings of another method are refused by name, with what works; each method's own are taken."""

from __future__ import annotations

from pathlib import Path

import pytest

import adept_training
from adept_hub.cli.main import main
from adept_hub.errors import RecipeError
from adept_training.planning.choose import own_recipes
from adept_training.pretraining.misplaced import _NOT_OF_DETECTION
from adept_training.pretraining.recipe import load_recipe
from tests.training.support import tiny, tiny_detection, write_photographs

OTHER = {
    "method.teacher": "frozen",
    "method.head_mode": "all_levels", "method.boxes": "ss+rpn", "method.objective": "infonce",
    "method.temperature": "0.3", "method.same_image_negatives": "true", "method.drop_similar": "0.1",
    "method.queue": "8", "method.prototypes": "9", "method.prototype_epsilon": "0.1", "method.projector_hidden": "9",
    "method.projection": "9", "method.projector_norm": "true", "method.momentum": "0.5",
    "method.momentum_bound": "run", "method.target_pass": "by_size", "method.rpn.views": "all",
    "method.rpn.reaches_backbone": "true", "views.best": "40", "views.v3_mode": "independent",
    "views.box_sets": "separate",
    "views.jitter_prob": "0.1", "views.jitter_ratio": "0.2", "views.max_tries": "7", "colors.cutout_prob": "0.5",
}  # fmt: skip


@pytest.mark.parametrize("name", _NOT_OF_DETECTION)
def test_settings_of_a_contrast_are_refused_by_detection(name: str) -> None:
    with pytest.raises(RecipeError, match=rf"{name} would change nothing.\n.* --recipe own_photos_detection$"):
        tiny_detection(f"{name}={OTHER[name]}")


def test_settings_of_detection_are_refused_by_others_and_taken_by_it() -> None:
    for name, value in (("pseudo_classes", 7), ("proposals", 9), ("rois", 5)):
        setting = f"method.detection.{name}={value}"
        with pytest.raises(RecipeError, match=r"the method is soco.\n.*--method detection"):
            tiny("method.name=soco", setting)
        assert getattr(tiny_detection(setting).method.detection, name) == value


def test_freezing_what_is_frozen_or_all_there_is_is_refused() -> None:
    for freeze in ("stem", "backbone"):
        with pytest.raises(RecipeError, match=rf"adept_separate freezes .*{freeze} would change nothing"):
            tiny("method.name=adept_separate", f"method.freeze={freeze}")
    with pytest.raises(RecipeError, match=r"leaves nothing to train.\n.* --set method.freeze=stem$"):
        tiny("method.name=byol", "method.freeze=backbone")
    assert tiny("method.name=byol", "method.freeze=stem").method.frozen == ("backbone.conv1", "backbone.bn1")


def test_a_frozen_teacher_has_settings_of_its_own(tmp_path: Path) -> None:
    for settings, message in (
        (("method.name=byol",), r"byol has none.\n.*--method adept_joint$"),
        (("method.name=adept_separate",), r"adept_separate has none"),
        (("method.objective=infonce",), r"without negatives, but method.objective is infonce"),
        (
            ("method.momentum=0.5", "method.momentum_bound=run"),
            r"method.momentum, method.momentum_bound would change no",
        ),
        (("method.projection=800",), r"C4 and C5 of a teacher have 768 channels.\n.*method.projection=192$"),
    ):
        with pytest.raises(RecipeError, match=message):
            tiny("method.teacher=frozen", *settings)
    assert load_recipe("own_photos_teacher").method.needs_start
    assert {"own_photos_teacher", "own_photos_backbone"}.isdisjoint(own_recipes()), "a plan has no start"


def test_a_contrasts_recipe_names_that_of_detection() -> None:
    with pytest.raises(RecipeError, match=r"projector_norm, .*\n.*--recipe own_photos_detection$"):
        load_recipe("own_photos_cpu", method="detection")


def test_without_a_recipe_detection_has_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = load_recipe("own_photos_detection")
    assert load_recipe(None, method="detection") == own
    assert own.method.detection.pseudo_classes == 32
    write_photographs(tmp_path / "photographs", 3)
    words = [
        "pretrain",
        "--images",
        str(tmp_path / "photographs"),
        "--method",
        "detection",
        "--out",
        str(tmp_path / "r"),
    ]
    assert main(words) == 1
    assert "3 images do not fill one batch of 16.\nLower it: --set engine.batch_size=2" in capsys.readouterr().err
    for method in ("detection", {"name": "detection"}):
        with pytest.raises(RecipeError, match="batch of 16"):
            adept_training.pretrain(tmp_path / "photographs", tmp_path / "r", method=method)


def test_a_large_batch_of_few_images_names_the_recipe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_photographs(tmp_path / "photographs", 20)
    words = [
        "pretrain",
        "--images",
        str(tmp_path / "photographs"),
        "--method",
        "detection",
        "--out",
        str(tmp_path / "r"),
    ]
    assert main([*words, "--set", "engine.batch_size=64"]) == 1
    assert "--recipe own_photos_detection\n" in capsys.readouterr().err
