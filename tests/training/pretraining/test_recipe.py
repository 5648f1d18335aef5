"""Recipes: strict, whole, and the shipped ones are what they say."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
import yaml

from adept_hub.checkpoint.folder import read_config
from adept_hub.errors import RecipeError
from adept_hub.io.schema import to_dict
from adept_hub.registry import BUNDLED, model_info
from adept_training.pretraining.recipe import Recipe, load_recipe, recipe_names
from tests.printed import RECIPES, ROOT


@pytest.mark.parametrize("text", ["1e-3", "1E-3", "+1e-3", "1.e-3", "1.0e-3", "0.001"])
def test_a_number_without_a_dot_is_a_number(text: str, tmp_path: Path) -> None:
    """YAML 1.1 takes 1e-3 for text; `--lr 1e-9` and what messages advise come to such words."""
    assert load_recipe(None, [f"optimizer.lr={text}"]).optimizer.lr == 0.001
    (tmp_path / "r.yaml").write_text(f"optimizer: {{lr: {text}}}\n")
    assert load_recipe(tmp_path / "r.yaml").optimizer.lr == 0.001
    assert load_recipe(None, ["export.data=10e"]).export.data == "10e"


@pytest.mark.parametrize("name", recipe_names())
def test_shipped_recipes_load_and_survive_yaml(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name)
    path = tmp_path / "recipe.yaml"
    path.write_text(recipe.to_yaml())
    assert load_recipe(path) == recipe
    assert load_recipe(path).sha256() == recipe.sha256()


def test_the_papers_recipes_are_shipped() -> None:
    assert {"soco_r50_100ep", "adept_joint_r50_100ep", "adept_separate_r50_100ep", "two_minutes"} <= set(recipe_names())
    soco, joint = load_recipe("soco_r50_100ep"), load_recipe("adept_joint_r50_100ep")
    assert soco.optimizer.lr * soco.engine.batch_size / 256 == 8
    assert (soco.views.v3_mode, soco.views.box_sets, soco.method.head_mode) == ("independent", "separate", "all_levels")
    assert (soco.export.network, soco.colors.cutout_prob) == ("online", 0.5)
    assert (joint.views.v3_mode, joint.views.box_sets, joint.views.boxes) == ("resize_v2", "shared", 4)
    assert (joint.optimizer.lr, joint.schedule.final_lr, joint.export.network) == (0.1, 0.0, "target")
    assert joint.model == Recipe().model


def test_boxes_on_objects_are_beyond_the_paper() -> None:
    """Recipes of the paper, of SoCo and of Table 4 keep their presets; a few images of your own get `objects`."""
    own = {name for name in recipe_names() if load_recipe(name).data.proposals == "objects"}
    bundled = {"contrast_r18_fpn128_cpu", "detection_r18_fpn128_cpu"}
    assert own == {"own_photos_cpu", "own_photos_detection", "own_photos_backbone", "own_photos_teacher", *bundled}


def test_bundled_weights_have_the_recipe_that_trains_them_again() -> None:
    """As `make weights` would: `adept_separate` has no contrast, and fewer epochs."""
    by_method = {"detection": "detection_r18_fpn128_cpu", "adept_separate": "contrast_r18_fpn128_cpu"}
    for path in BUNDLED.glob("*/config.json"):
        config = read_config(path.parent)
        method = config.provenance.method
        alone = ["schedule.epochs=4", "method.objective=cosine", "method.same_image_negatives=false"]
        settings = alone if method == "adept_separate" else []
        recipe = load_recipe(by_method.get(method, "contrast_r18_fpn128_cpu"), settings, method)
        assert to_dict(recipe) == config.provenance.recipe, config.name


def test_the_first_comment_of_a_recipe_tells_it_from_the_others() -> None:
    files = [path for path in RECIPES if not path.is_relative_to(ROOT / "training/recipes/downstream")]
    first = [path.read_text(encoding="utf-8").splitlines()[0] for path in files]
    assert len(first) >= 10
    assert [line for line in first if first.count(line) > 1 or not line.startswith("# ")] == []


def test_single_values_and_the_method_can_be_changed() -> None:
    recipe = load_recipe(
        None,
        ["schedule.epochs=3", "views.sizes=[64, 64, 32]", "method.rpn.views=all", "schedule.warmup_epochs=1"],
        "soco",
    )
    assert (recipe.schedule.epochs, recipe.views.sizes, recipe.method.rpn.views) == (3.0, (64, 64, 32), "all")
    assert recipe.method.name == "soco"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["schedule.epoch=3"], "unknown field 'epoch'"),
        (["views.v3_mode=small"], "not one of 'resize_v2', 'independent'"),
        (["engine.batch_size=many"], "expected int"),
        (["engine.batch_size=1"], "batch norm needs at least two"),
        (["schedule.epochs=5"], "warmup_epochs (10) must be below"),
        (["views.sizes=[16,16,8]"], "at least 32 pixels"),
        (["model.anchors.sizes=[1,2]"], "P2-P5 need four"),
        (["method.momentum=1.0"], "method.momentum is 1.0; it must be in [0, 1)"),
        (["export.tag=My-Photos"], "lower-case letters"),
        (['export.license="\\tmine"'], "not a license identifier"),
        (["epochs=3"], "section.field=value"),
        (["schedule.epochs=[3"], "is not valid YAML"),
        (["schedule.epochs=1", "schedule.epochs.more=3"], "is not a section"),
    ],
)
def test_mistakes_are_told(settings: list[str], words: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(None, settings)
    assert words in str(caught.value)


def test_an_unknown_recipe_names_its_neighbors() -> None:
    with pytest.raises(RecipeError, match="two_minutes"):
        load_recipe("two_minute")


@pytest.mark.parametrize("text", ["- a\n- b\n", "a: [", "views: 3\n"])
def test_files_that_are_no_recipes(text: str, tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError):
        load_recipe(path)


def test_the_digest_tells_recipes_apart() -> None:
    plain = Recipe()
    other = dataclasses.replace(plain, schedule=dataclasses.replace(plain.schedule, epochs=99.0))
    assert plain.sha256() != other.sha256()
    assert yaml.safe_load(plain.to_yaml())["method"]["rpn"]["smooth_l1_beta"] == pytest.approx(1 / 9)


def test_table_4_has_its_four_rows() -> None:
    rows = {name: load_recipe(f"table4_{name}").method for name in ("det_ss", "det_ssrpn", "detrpn_ss", "detrpn_ssrpn")}
    switches = {name: (method.rpn.reaches_backbone, method.boxes) for name, method in rows.items()}
    assert switches == {
        "det_ss": (False, "ss"), "det_ssrpn": (False, "ss+rpn"),
        "detrpn_ss": (True, "ss"), "detrpn_ssrpn": (True, "ss+rpn"),
    }  # fmt: skip
    assert rows["det_ss"] == load_recipe("adept_joint_r50_100ep").method


def test_a_recipe_may_extend_another(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text("extends: adept_joint_r50_100ep\nmethod:\n  rpn:\n    views: all\n")
    recipe, base = load_recipe(path), load_recipe("adept_joint_r50_100ep")
    assert recipe.method.rpn.views == "all"
    assert dataclasses.replace(recipe, method=base.method) == base
    with pytest.raises(RecipeError, match="needs an RPN and a contrast"):
        load_recipe(path, ["method.boxes=ss+rpn"], "soco")


@pytest.mark.parametrize(
    "setting",
    [
        "views.crop_scale=[0.5, 0.4]", "views.crop_ratio=[2.0, 0.5]", "colors.blur_sigma=[2.0, 0.1]",
        "colors.cutout_ratio=[0.8, 0.3]",
    ],
)  # fmt: skip
def test_a_range_begins_with_its_lesser_end(setting: str) -> None:
    name, _, (least, most) = *setting.partition("=")[:2], yaml.safe_load(setting.partition("=")[2])
    with pytest.raises(RecipeError, match=rf"{name}: {least:g} is more than {most:g}"):
        load_recipe(None, [setting])
    assert load_recipe(None, [f"{name}=[{most}, {least}]"])
    assert load_recipe(None, [f"{name}=[{most}, {most}]"]), "a range of one value"


def test_an_iou_between_the_thresholds_is_neither() -> None:
    with pytest.raises(RecipeError, match=r"0\.6 is more than 0\.5"):
        load_recipe(None, ["method.rpn.negative_iou=0.6", "method.rpn.positive_iou=0.5"])


@pytest.mark.parametrize("setting", ["model.fpn_channels=99999999", "model.anchors.ratios=[]"])
def test_what_the_checkpoint_could_not_record_is_refused_at_the_start(setting: str) -> None:
    with pytest.raises(RecipeError, match=r"\nChange the recipe's model or export section"):
        load_recipe(None, [setting])


def test_a_section_inside_a_section_keeps_what_is_not_changed(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("method:\n  rpn:\n    positive_iou: 0.65\n    weight: 3.0\n")
    (tmp_path / "own.yaml").write_text(f"extends: {tmp_path}/base.yaml\nmethod:\n  rpn:\n    weight: 2.0\n")
    rpn = load_recipe(tmp_path / "own.yaml").method.rpn
    assert (rpn.positive_iou, rpn.weight) == (0.65, 2.0)


def test_make_weights_trains_the_bundled_detection_by_its_recipe() -> None:
    """The Makefile's command has the recipe that the bundled config says the weights were trained by."""
    config = read_config(BUNDLED / model_info("detection").name)
    asked = re.search(r"^weights:.*?--recipe (\S+)", (ROOT / "Makefile").read_text(), re.M | re.S)
    assert asked is not None
    recipe = load_recipe(asked[1])
    assert (to_dict(recipe), recipe.sha256()) == (config.provenance.recipe, config.provenance.recipe_sha256)
