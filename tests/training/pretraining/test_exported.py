"""Which network's tensors an export holds and what its config says of them, where the two networks share no value."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from adept_hub.checkpoint.folder import read_config, read_tensors
from adept_hub.io.schema import to_dict
from adept_hub.models.contract import BOX_REGRESSOR
from adept_hub.spec import Metric, Preprocessing, Provenance, Start
from adept_training.method.adept import Adept
from adept_training.pretraining.export import export_model, recall_metrics
from adept_training.pretraining.origin import PretrainStart
from adept_training.pretraining.setup import make_model
from tests.training.support import tiny, tiny_detection

WHOLE = ("backbone", "fpn", "rpn", "head")


@pytest.mark.parametrize(
    ("method", "asked", "network", "parts"),
    [
        ("adept_joint", "target", "target", WHOLE),
        ("adept_joint", "online", "online", WHOLE),
        ("soco", "target", "target", ("backbone", "fpn", "head")),
        ("soco", "online", "online", ("backbone", "fpn", "head")),
        ("byol", "target", "target", ("backbone",)),
        # Without a contrast there is one network, whatever is asked for.
        ("adept_separate", "target", "online", WHOLE),
        ("detection", "target", "online", WHOLE),
    ],
)
def test_an_export_says_whose_tensors_it_holds(
    method: str, asked: str, network: str, parts: tuple[str, ...], tmp_path: Path
) -> None:
    small = tiny_detection if method == "detection" else tiny
    recipe = small(f"method.name={method}", f"export.network={asked}", "export.data=a drawer of photographs")
    model = make_model(recipe, 5, Preprocessing())
    if model.recipe.contrasts:
        for parameter in model.target.parameters():
            parameter.data.add_(torch.randn_like(parameter))
    facts = {"images": 77, "epochs": 1.23456, "proposals": {"algorithm": "by hand"}, "random_share": 0.25}
    export_model(model, recipe, tmp_path / "export", **facts)
    config = read_config(tmp_path / "export")
    assert config.parts == parts
    told = config.provenance
    assert (told.exported_network, told.method, told.images, told.epochs) == (network, method, 77, 1.235)
    assert told.random_share == 0.25
    assert (told.data, told.proposals) == ("a drawer of photographs", {"algorithm": "by hand"})
    assert told.recipe["export"]["network"] == asked
    threads = "1 thread of" if torch.get_num_threads() == 1 else f"{torch.get_num_threads()} threads of"
    assert torch.cuda.is_available() or told.trained_on.startswith(threads)
    tensors = read_tensors(tmp_path / "export", config)
    assert {key.split(".")[0] for key in tensors} == set(parts)
    for key, tensor in tensors.items():
        # The target has no RPN.
        of = model.target if network == "target" and not key.startswith("rpn.") else model.online
        theirs = of.parts.state_dict()
        if key in BOX_REGRESSOR:
            theirs = {f"head.{name}": value for name, value in of.predictor.state_dict().items()}
        assert torch.equal(tensor, theirs[key]), key
    assert tensors.keys().isdisjoint(BOX_REGRESSOR) == (method != "detection")


def test_every_field_of_the_provenance_is_what_the_run_says(tmp_path: Path) -> None:
    recipe = tiny("method.name=soco", "export.network=online", "export.data=drawers", "export.license=cc-by-4.0")
    model = Adept(recipe.model, recipe.method, recipe.views.sizes, Preprocessing(mean=(0.1, 0.2, 0.3)))
    origin = PretrainStart(starts=(Start("a.b", "ab" * 32, "mit"),), license="mit", relicensed=True, labeled=True)
    metrics = (Metric("AUC", 0.25, "held-out images", "reproduced", "adept report", "± 0.1"),)
    facts = {"images": 77, "epochs": 1.25, "proposals": {"preset": "soco"}, "metrics": metrics, "random_share": 0.5}
    export_model(model, recipe, tmp_path / "export", notes=("Small.",), origin=origin, **facts)
    config = read_config(tmp_path / "export")
    expected = Provenance(
        "soco", "drawers", exported_network="online", recipe=to_dict(recipe), recipe_sha256=recipe.sha256(),
        trained_on=config.provenance.trained_on, notes=("Small.",), starts=origin.starts, relicensed=True,
        labeled=True, **facts,
    )  # fmt: skip
    assert config.provenance == expected
    for field in dataclasses.fields(Provenance):
        value = getattr(expected, field.name)
        assert value not in (field.default, None, "", (), {}), f"{field.name}: a default would not be noticed"
    assert (config.preprocessing.mean, config.license) == ((0.1, 0.2, 0.3), "cc-by-4.0")
    assert "load_pretrained" in (tmp_path / "export" / "README.md").read_text()


@pytest.mark.parametrize("half", [False, True])
def test_an_export_is_stored_as_is_asked(half: bool, tmp_path: Path) -> None:
    recipe = tiny(f"export.half={str(half).lower()}", "export.tag=mine_7", "export.license=cc-by-4.0")
    model = Adept(recipe.model, recipe.method, recipe.views.sizes)
    export_model(model, recipe, tmp_path / "export", images=3, epochs=1.0, proposals={})
    config = read_config(tmp_path / "export")
    assert (config.stored_dtype, config.license) == ("float16" if half else "float32", "cc-by-4.0")
    assert config.name == "adept_joint_r18_fpn16.mine_7"
    assert ((tmp_path / "export" / "model.safetensors").stat().st_size < 30_000_000) is half


def test_metrics_say_which_boxes_they_are_about() -> None:
    """Every run's card once said selective search, whatever preset its boxes had."""
    probe = {"online_recall100_iou50": 0.59917, "online_head_rank": 33.21}
    by_name = {metric.name: metric for metric in recall_metrics(probe, {"preset": {"name": "objects"}})}
    assert by_name.keys() == {"rpn_online_recall100_iou50", "online_head_rank"}
    assert by_name["rpn_online_recall100_iou50"].value == 0.5992
    assert {metric.data for metric in by_name.values()} == {"boxes of preset objects in held-out images"}
    assert recall_metrics(probe, {})[0].data == "boxes in held-out images", "of a table of unknown origin"
