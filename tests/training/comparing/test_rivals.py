"""Sources of different architectures in one comparison: each keeps its own, and the page says what differs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from adept_hub.checkpoint.folder import replace_provenance
from adept_hub.cli.main import main
from adept_hub.errors import OutputExistsError
from adept_hub.models.contract import BOX_REGRESSOR
from adept_training.comparing.architectures import architectures_of, caution, differing
from adept_training.comparing.compare import compare, make_plan
from adept_training.finetuning.detector import build_detector
from adept_training.finetuning.recipe import load_finetune_recipe
from adept_training.labels.datasets import open_data
from tests.house import write_house
from tests.training.conftest import TINY
from tests.training.rivals import RIVAL, write_rival

RECIPE = [*TINY, "schedule.iterations=2"]


def test_a_rival_is_compared_and_the_page_says_what_differs(voc: Path, tmp_path: Path, capsys) -> None:
    mine, rival = write_house(tmp_path / "mine"), write_rival(tmp_path / "rival")
    words = [f"mine={mine.folder}", "scratch", f"coco={rival.folder}", "--data", f"voc:{voc}", "--image-counts", "2"]
    words += ["--seeds", "1", "--out", str(tmp_path / "out"), *(w for s in RECIPE for w in ("--set", s))]
    assert main(["compare", *words]) == 0
    printed = capsys.readouterr().out
    assert "differ in architecture (backbone, FPN, RPN, RoI head, number of parameters)" in printed
    assert "Labels were used before: coco." in printed
    page, content = ((tmp_path / "out" / f"compare.{kind}").read_text() for kind in ("html", "json"))
    for text in ("frozen batch norms", "no norms", "two 3x3 convolutions", "two fc layers of 72", "rounded anchors"):
        assert text in page
    rows = {row["source"]: row for row in json.loads(content)["architectures"]}
    assert rows["mine"] == {**rows["scratch"], "source": "mine"}
    parameters = sum(p.numel() for p in rival.parts.parameters())
    # Frozen gains and biases are constants of the module, but values of the network.
    frozen = sum(t.numel() for k, t in rival.parts.backbone.named_buffers() if k.endswith(("weight", "bias")))
    assert frozen == 9600
    assert rows["coco"]["parameters"] == parameters + frozen
    assert {row["labels"] for row in rows.values()} == {"no", "yes"}
    # Each source is fine-tuned as what it is, and scratch as the first one.
    plan = make_plan({"r": str(rival.folder), "scratch": "scratch"}, ["2img"], 1, {"": load_finetune_recipe(None)})
    assert (plan.spec.head, plan.spec.backbone_norm) == ("2fc", "bn")
    model = build_detector(str(rival.folder), 2, plan.variants[""].detector, 0, plan.spec, plan.pixels)
    assert type(model.backbone.body.bn1).__name__ == "FrozenBatchNorm2d"
    assert model.load_report.loaded == len(rival.parts.state_dict()) + len(BOX_REGRESSOR)


def test_scratch_of_another_architecture_is_not_taken_over(voc: Path, tmp_path: Path) -> None:
    mine, rival = write_house(tmp_path / "mine"), write_rival(tmp_path / "rival")
    data, variants = open_data(f"voc:{voc}"), {"recipe": load_finetune_recipe(None, RECIPE)}
    first = {"scratch": "scratch", "mine": str(mine.folder)}
    compare(make_plan(first, ["2img"], 1, variants), data, tmp_path / "out", accelerator="cpu")
    other = make_plan({"scratch": "scratch", "coco": str(rival.folder)}, ["2img"], 1, variants)
    with pytest.raises(OutputExistsError, match=r"scratch in another architecture"):
        compare(other, data, tmp_path / "out", accelerator="cpu")


def test_labels_that_may_have_been_used_are_named(tmp_path: Path) -> None:
    mine = write_house(tmp_path / "mine")
    config = replace_provenance(mine.folder, labeled=None)
    found = architectures_of({"a": config, "b": config, "scratch": None}, config.spec)
    assert [one.labels for one in found] == ["unknown", "unknown", "no"]
    assert caution(found) == "Whether labels were used before is unknown: a, b."


def test_one_architecture_needs_no_words(tmp_path: Path) -> None:
    mine = write_house(tmp_path / "mine").config
    same = architectures_of({"a": mine, "scratch": None}, mine.spec)
    assert (differing(same), caution(same)) == ((), "")
    found = architectures_of({"a": mine, "b": None}, RIVAL)
    assert differing(found) == ("backbone", "fpn", "rpn", "head", "parameters")
