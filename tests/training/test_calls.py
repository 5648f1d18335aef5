"""The trainer's five calls, from images to a comparison, and what they do with a recipe's sections."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

import adept_training
from adept_hub.errors import DataError, OptionTypeError, OutputExistsError, RecipeError, UnknownOptionError
from adept_hub.words import pulse
from adept_training.calls import pretraining
from adept_training.calls.sections import FinetuneSections, PretrainSections
from adept_training.finetuning.recipe import FinetuneRecipe
from adept_training.pretraining.recipe import Recipe
from adept_training.pretraining.watch.outcome import PretrainResult
from adept_training.proposals.run import ProposalProgress
from adept_training.proposals.table.store import ProposalTable
from adept_training.runtime.recipe_files import sections_as_settings
from tests.training.conftest import TINY as TINY_TUNING
from tests.training.support import TINY, write_photographs


def _sections(settings: Any) -> dict[str, dict[str, Any]]:
    sections: dict[str, dict[str, Any]] = {}
    for setting in settings:
        path, _, value = setting.partition("=")
        section, name = path.split(".")
        sections.setdefault(section, {})[name] = yaml.safe_load(value)
    return sections


def test_from_images_to_a_comparison(tmp_path: Path, voc: Path) -> None:
    write_photographs(tmp_path / "images", 8)
    table = adept_training.propose(tmp_path / "images", tmp_path / "boxes", preset="fixed", workers=1)
    assert table.images == 8
    sections = _sections(TINY)
    sections["engine"]["seed"] = 5
    sections["method"]["name"] = "soco"
    run = adept_training.pretrain(tmp_path / "images", tmp_path / "run", proposals=tmp_path / "boxes", **sections)
    assert run.steps == 4
    written = yaml.safe_load((tmp_path / "run" / "recipe.yaml").read_text())
    assert (written["method"]["name"], written["engine"]["seed"]) == ("soco", 5)
    with pytest.raises(OutputExistsError):
        adept_training.pretrain(tmp_path / "images", tmp_path / "run", **sections)
    again = adept_training.pretrain(tmp_path / "images", tmp_path / "run", proposals=tmp_path / "boxes", resume=True)
    assert again.finished_before, "the recipe is that of the run"

    export, data, tuning = str(tmp_path / "run" / "export"), f"voc:{voc}", _sections(TINY_TUNING)
    tuned = adept_training.finetune(export, data, tmp_path / "tuned", labels="3img", device="cpu", **tuning)
    assert tuned.iterations == 6
    ids = yaml.safe_load((tmp_path / "tuned" / "run.json").read_text())["image_ids"]
    assert sum(map(len, ids.values())) == 3
    on_val = adept_training.evaluate(str(tmp_path / "tuned"), data, split="val", device="cpu")
    assert (on_val.split.name, len(on_val.split)) == ("val", 8)
    assert set(adept_training.evaluate(export, data, device="cpu", detector={"test_side": 64}).flat()) == {
        key for key in on_val.flat() if key.startswith("RPN_")
    }
    with pytest.raises(DataError, match=r"no split 'dev'\.\nIt has: train, val, test\."):
        adept_training.evaluate(export, data, split="dev")

    tuning["schedule"]["iterations"] = 1
    result = adept_training.compare(
        ["scratch", f"mine={export}"], data, tmp_path / "gain", budgets=["2img"], seeds=2, device="cpu", **tuning
    )
    assert result.page == tmp_path / "gain" / "compare.html"
    for shown in (table, run, again, tuned, on_val, result):
        assert shown._repr_html_().startswith("<div")
    assert "data:image/svg+xml" in result._repr_html_()
    assert [(cell.source, cell.seed) for cell in result.cells] == [(s, k) for k in (0, 1) for s in ("scratch", "mine")]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"engine": {"batch": 3}}, RecipeError, "engine.batch"),
        ({"engin": {"seed": 3}}, UnknownOptionError, "no option 'engin'.*engine"),
        ({"method": "socko"}, RecipeError, "method.name"),
        ({"method": {"momentun": 1}}, RecipeError, "momentun.*momentum"),
        ({"engine": {"seed": "three"}}, RecipeError, "engine.seed"),
        ({"engine": 3}, OptionTypeError, "engine"),
        ({"init": 3}, OptionTypeError, "init"),
    ],
)
def test_what_a_recipe_does_not_have_is_refused(
    options: dict[str, Any], error: type[Exception], message: str, tmp_path: Path
) -> None:
    write_photographs(tmp_path / "images", 2)
    with pytest.raises(error, match=message):
        adept_training.pretrain(tmp_path / "images", tmp_path / "run", **options)
    assert not (tmp_path / "run" / "recipe.yaml").exists()


def test_many_fallbacks_are_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "images").mkdir()
    for number in range(4):
        Image.new("RGB", (90, 70), (40 * number, 90, 30)).save(tmp_path / "images" / f"{number}.png")
    monkeypatch.setattr(pretraining, "pretrain_table", lambda *_, **__: PretrainResult(tmp_path, 1, 1, False, {}, {}))
    adept_training.propose(tmp_path / "images", tmp_path / "boxes", preset="fixed", workers=1)
    adept_training.pretrain(tmp_path / "images", tmp_path / "run", proposals=tmp_path / "boxes", **_sections(TINY))
    assert "4 of 4 images" in caplog.text


def test_boxes_are_those_of_the_recipe_s_preset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_photographs(tmp_path / "images", 4)
    monkeypatch.setattr(pretraining, "pretrain_table", lambda *_, **__: PretrainResult(tmp_path, 1, 1, False, {}, {}))
    sections = _sections([*TINY, "data.proposals=fixed"])
    adept_training.pretrain(tmp_path / "images", tmp_path / "run", **sections)
    assert ProposalTable.open(tmp_path / "run" / "proposals").metadata["preset"]["name"] == "fixed"


def test_sections_become_settings() -> None:
    sections = {"views": {"sizes": (64, 64, 32)}, "engine": {"max_minutes": None, "precision": "fp32", "seed": 1}}
    values = [yaml.safe_load(setting.partition("=")[2]) for setting in sections_as_settings(sections)]
    assert values == [[64, 64, 32], None, "fp32", 1]
    with pytest.raises(RecipeError, match=r"engine takes fields of the recipe, not 3\."):
        sections_as_settings({"engine": 3})


def test_importing_the_package_imports_no_torch() -> None:
    code = "import sys, adept_training; dir(adept_training); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"
    with pytest.raises(AttributeError, match="has no attribute 'train'"):
        adept_training.train  # noqa: B018


@pytest.mark.parametrize(
    ("sections", "recipe"),
    [(PretrainSections, Recipe), (FinetuneSections, FinetuneRecipe)],
    ids=["pretrain", "finetune"],
)
def test_the_keywords_are_the_sections_of_the_recipe(sections: type, recipe: type) -> None:
    names = {field.name for field in dataclasses.fields(recipe)}
    assert set(sections.__annotations__) == names - {"method"}


def test_making_boxes_is_described_by_its_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Boxes of many images take hours, and a log has lines about them only if something counts."""
    write_photographs(tmp_path / "images", 8)
    shown: list[str] = []

    def make(*_: object, progress: Callable[[ProposalProgress], None], **__: object) -> None:
        for done in (3, 5):  # of 8, three of which an earlier run had finished
            progress(ProposalProgress(done, 8, 0, 1.0, 9.0))
            shown.append(pulse._doing[-1]())
        raise KeyboardInterrupt

    monkeypatch.setattr(pretraining, "run_proposals", make)
    with pytest.raises(KeyboardInterrupt):
        adept_training.pretrain(tmp_path / "images", tmp_path / "run", **_sections(TINY))
    assert shown == ["boxes: 3/8 images", "boxes: 5/8 images"]
