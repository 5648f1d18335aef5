"""Comparison: the statistics by hand, pairing, resumption, and what is written."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats as scipy_stats
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from adept_hub.checkpoint.folder import read_config, read_tensors, write_checkpoint
from adept_hub.cli.main import main
from adept_hub.errors import DataError, OutputExistsError, RecipeError, SourceError
from adept_hub.spec import AnchorSpec
from adept_training.cli.compare import budgets_of
from adept_training.comparing.compare import compare, make_plan, name_sources
from adept_training.comparing.fewshot import layer_variants, restrict
from adept_training.comparing.runs import RunResult
from adept_training.comparing.tables import summary, tabulate
from adept_training.finetuning.recipe import load_finetune_recipe
from adept_training.labels.datasets import open_data
from adept_training.metrics.names import METRICS, is_cost, title_of
from adept_training.metrics.stats import compare_pairs, interval, t95
from tests.conftest import SMALL
from tests.house import PIXELS, House
from tests.training.conftest import TINY


def test_intervals_are_student_s() -> None:
    for degrees in (1, 4, 9, 30, 40, 100, 1000):
        assert t95(degrees) == pytest.approx(scipy_stats.t.ppf(0.975, degrees), abs=2e-3)
    values = [3.0, 4.5, 5.0, 7.5, 2.0]
    found = interval(values)
    low, high = scipy_stats.t.interval(0.95, 4, np.mean(values), scipy_stats.sem(values))
    assert (found.mean - found.half, found.mean + found.half) == pytest.approx((low, high), abs=1e-3)
    assert str(interval([2.0])) == "2.0"


def test_pairs_cancel_what_both_share() -> None:
    base = {seed: 10.0 * seed for seed in range(5)}
    ours = {seed: 10.0 * seed + 2 + 0.1 * (seed % 2) for seed in range(5)}
    found = compare_pairs("joint", ours, "scratch", base)
    assert found.significant
    assert found.interval.mean == pytest.approx(2.04)
    assert found.interval.half == pytest.approx(2.776 * np.std([2, 2.1, 2, 2.1, 2], ddof=1) / math.sqrt(5))
    assert found.verdict == "joint is 2.0 points above scratch (± 0.1, 5 seeds)."


def test_verdicts_say_when_nothing_is_known() -> None:
    noise = compare_pairs("joint", {0: 1.0, 1: 5.0, 2: 2.0}, "scratch", {0: 2.0, 1: 1.0, 2: 3.0})
    assert not noise.significant
    assert noise.verdict.startswith("No significant difference: joint is 0.7 points above scratch")
    one = compare_pairs("joint", {0: 9.0}, "scratch", {0: 2.0})
    assert not one.significant
    assert one.verdict == "1 seed, too few for a verdict: joint minus scratch is +7.0 points."


def cells_of(values: dict[str, dict[str, list[float]]]) -> list[RunResult]:
    return [
        RunResult(source, budget, seed, "recipe", 1, 1, 1.0, {"AP": value})
        for source, budgets in values.items()
        for budget, row in budgets.items()
        for seed, value in enumerate(row)
    ]


def test_table_and_summary() -> None:
    cells = cells_of({
        "scratch": {"1%": [1.0, 2.0, 3.0], "100%": [50.0, 51.0, 52.0]},
        "soco": {"1%": [5.0, 6.1, 7.0], "100%": [50.5, 50.5, 52.5]},
    })  # fmt: skip
    found = tabulate(cells, ["scratch", "soco"], ["1%", "100%"], "AP", "recipe")
    assert found.rows()[1][1].startswith("6.0 ± ")
    assert found.rows()[1][1].endswith(" (better)")
    assert not found.rows()[1][2].endswith(")")
    text = summary(found)
    assert "1 of 2 are significantly better, 0 significantly worse, 1 not significant" in text
    assert "soco's with 1%: 4.0 ± " in text


def test_of_costs_less_is_better() -> None:
    budgets = ("1img", "10img", "100%")
    cells = [
        RunResult(
            source, budget, seed, "recipe", 1, 1, 1.0, {"TIDE_Loc": value + (0.11 if source == "soco" else 0.1) * seed}
        )
        for source, values in {"scratch": (8.0, 8.0, 8.0), "soco": (6.0, 9.0, 7.5)}.items()
        for budget, value in zip(budgets, values, strict=True)
        for seed in range(3)
    ]
    found = tabulate(cells, ["scratch", "soco"], budgets, "TIDE_Loc", "recipe")
    assert [cell.partition("(")[2] for cell in found.rows()[1]] == ["", "better)", "worse)", "better)"]
    assert found.head() == ["source", "1 image", "10 images", "100%"]
    assert found.verdicts()[0] == "1 image: soco is 2.0 points below scratch, which is better (± 0.0, 3 seeds)."
    text = summary(found)
    assert "2 of 3 are significantly better, 1 significantly worse" in text
    assert "The largest significant gain is soco's with 1 image: 2.0 ± 0.0 points" in text


def test_metrics_in_words() -> None:
    assert title_of("RPN_AR100") == "AR@100 of the RPN alone"
    assert title_of("mask_AP50") == "AP50 of masks"
    assert title_of("APs") == "APs"
    assert "lower is better" in title_of("TIDE_Miss")
    assert [name for name in METRICS if is_cost(name)] == [name for name in METRICS if name.startswith("TIDE")]


def test_a_metric_that_nothing_measures_is_refused_before_any_run(voc: Path, tmp_path: Path) -> None:
    plan = make_plan({"scratch": "scratch"}, ["1img"], 1, {"recipe": load_finetune_recipe(None, TINY)})
    for metric in ("mAP", "mask_AP", "TIDE_loc"):
        with pytest.raises(RecipeError, match=r"is not available\.\nAvailable: AP, AP50, "):
            compare(plan, open_data(f"voc:{voc}"), tmp_path / "out", metric=metric)
    assert not (tmp_path / "out").exists()


def test_compare_pairs_resumes_and_writes_one_page(make_checkpoint, voc: Path, tmp_path: Path) -> None:
    source = str(make_checkpoint()[0])
    recipe = load_finetune_recipe(None, [*TINY, "schedule.iterations=3"])
    data = open_data(f"voc:{voc}")
    plan = make_plan({"scratch": "scratch", "mine": source}, ["2img"], 2, {"recipe": recipe})
    assert plan.spec.fpn_channels == 32  # scratch has the other's architecture
    out = tmp_path / "out"
    result = compare(plan, data, out, command="adept compare ...", accelerator="cpu")
    assert len(result.cells) == 4
    assert {cell.images for cell in result.cells} == {2}
    page = (out / "compare.html").read_text()
    assert "scratch" in page
    assert "<svg" in page
    assert "3 iterations of 2 images" in page
    assert "anchors of 16, 24, 32, 48, 64 px" in page
    assert "http" not in page.replace("http://www.w3.org", "").replace("http://purl.org", "").replace(
        "http://creativecommons.org", ""
    ).replace("https://matplotlib.org", "")
    subset = json.loads((out / "subsets" / "2img-seed1.json").read_text())
    assert len(subset["image_ids"]) == 2

    # what is done is not done again; a torn line is
    lines = (out / "runs.jsonl").read_text().splitlines()
    (out / "runs.jsonl").write_text("\n".join(lines[:-1]) + "\n" + lines[-1][:40] + "\n")
    times = [cell.seconds for cell in result.cells]
    again = compare(plan, data, out, accelerator="cpu")
    assert [cell.seconds for cell in again.cells][:-1] == times[:-1]
    # the run that was done again gives the same figures: runs are functions of their seed
    assert [cell.metrics for cell in again.cells] == [cell.metrics for cell in result.cells]

    other = make_plan(plan.sources, plan.budgets, 1, {"recipe": load_finetune_recipe(None, TINY)})
    with pytest.raises(OutputExistsError, match="another recipe"):
        compare(other, data, out, accelerator="cpu")

    # nor do runs of weights count that were replaced under the same name
    retrained, config = Path(source), read_config(Path(source))
    tensors = {key: tensor + 1 for key, tensor in read_tensors(retrained, config).items()}
    write_checkpoint(
        retrained, tensors, name=config.name, spec=config.spec, provenance=config.provenance, license=config.license,
        parts=config.parts, overwrite=True,
    )  # fmt: skip
    with pytest.raises(OutputExistsError, match="mine with other weights than it has now"):
        compare(plan, data, out, accelerator="cpu")


def test_few_shots_in_both_choices_of_layers(
    make_checkpoint, voc: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = [word for setting in [*TINY, "schedule.iterations=2"] for word in ("--set", setting)]
    words = ["fewshot", str(make_checkpoint()[0]), "--data", f"voc:{voc}", "--out", str(tmp_path / "few")]
    words += ["--shots", "1,2", "--seeds", "1", "--layers", "last,all", "--device", "cpu", "--classes", "red"]
    assert main([*words, *settings]) == 0
    told = capsys.readouterr().out
    assert "last layer tuned" in told
    assert "all layers tuned" in told
    cells = [json.loads(line) for line in (tmp_path / "few" / "runs.jsonl").read_text().splitlines()]
    assert [(c["budget"], c["variant"]) for c in cells[:4]] == [
        ("1shot", "last layer"), ("1shot", "all layers"), ("2shot", "last layer"), ("2shot", "all layers"),
    ]  # fmt: skip
    assert main([*words[:-1], "green"]) == 1


def test_layers_are_the_same_for_every_source() -> None:
    variants = layer_variants(load_finetune_recipe(), ["last", "all"])
    assert variants["last layer"].optimizer.layers == "last"
    assert variants["last layer"].norms.policy == "frozen"
    assert variants["all layers"] == load_finetune_recipe()


def test_restricting_to_classes(voc: Path) -> None:
    data = restrict(open_data(f"voc:{voc}"), ["red"])
    assert data.classes == ("red",)
    assert data.test is not None
    assert {int(label) for image in data.test.images for label in image.labels_M} == {1}
    with pytest.raises(DataError, match="no class 'green'"):
        restrict(data, ["green"])


def test_budgets_from_the_command_line() -> None:
    assert budgets_of("1%,0.1,100", "", "") == ["1%", "10%", "100%"]
    assert budgets_of("", "1,3", "5") == ["5shot", "1img", "3img"]
    assert budgets_of("", "", "") == ["1%", "10%", "100%"]


def test_sources_have_names(tmp_path: Path) -> None:
    (tmp_path / "runs" / "a" / "export").mkdir(parents=True)
    path = str(tmp_path / "runs" / "a" / "export")
    assert name_sources(["scratch", f"joint={path}", path]) == {"scratch": "scratch", "joint": path, "a": path}
    with pytest.raises(SourceError, match="Two sources"):
        name_sources(["scratch", "scratch"])


def test_files_of_a_layout_are_named_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "epoch=3.ckpt").touch()
    words = ["moco:runs/epoch=9.ckpt", "byol:a.pth", "resnet=resnet:a.pth", "moco=moco:epoch=1.ckpt", "epoch=3.ckpt"]
    assert name_sources(words) == {
        "moco:epoch=9.ckpt": "moco:runs/epoch=9.ckpt", "byol:a.pth": "byol:a.pth", "resnet": "resnet:a.pth",
        "moco": "moco:epoch=1.ckpt", "epoch=3.ckpt": "epoch=3.ckpt",
    }  # fmt: skip


def test_scratch_sees_the_pixels_of_the_first_source(house: House, voc: Path, tmp_path: Path, monkeypatch) -> None:
    seen = {}

    def stop(model: GeneralizedRCNN, *_: object) -> None:
        seen.setdefault(len(seen), (model.transform.image_mean, model.transform.image_std))
        raise KeyboardInterrupt

    monkeypatch.setattr("adept_training.comparing.runs.prepare", stop)
    recipe = {"recipe": load_finetune_recipe(None, TINY)}
    for names in ("scratch", "house"), ("house", "scratch"):
        sources = {name: house.source if name == "house" else "scratch" for name in names}
        with pytest.raises(KeyboardInterrupt):
            compare(make_plan(sources, ["2img"], 1, recipe), open_data(f"voc:{voc}"), tmp_path / names[0])
    assert [[list(map(float, values)) for values in pair] for pair in seen.values()] == 2 * [
        [list(PIXELS.mean), list(PIXELS.std)]
    ]


def test_all_sources_have_the_same_anchors(make_checkpoint) -> None:
    source = str(make_checkpoint(replace(SMALL, anchors=AnchorSpec((8.0, 16.0, 32.0, 64.0))))[0])
    default, named = load_finetune_recipe(), load_finetune_recipe(None, ["detector.anchors=[1,2,3,4,5]"])
    plan = make_plan({"scratch": "scratch", "b": source}, ["1%"], 1, {"recipe": default, "other": named})
    # not the source's own, which would favor it
    assert plan.variants["recipe"].detector.anchors == (32, 64, 128, 256, 512)
    assert plan.variants["other"].detector.anchors == (1, 2, 3, 4, 5)
