"""Tables of evidence are those of the raw results; a table worked by hand shows how."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
_spec = importlib.util.spec_from_file_location("evidence", ROOT / "docs/_site/evidence.py")
assert _spec
assert _spec.loader
evidence = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(evidence)

PAGES = [ROOT / "docs/evidence.md", *sorted((ROOT / "docs/evidence").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_marked_table_is_current(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert evidence.render(text) == text, "make evidence"
    assert text.count("<!-- table ") == text.count("<!-- end of table -->")
    assert text.count("<!--") == 2 * len(re.findall(r"<!-- table (\w+): results/([\w.]+) -->\n", text))


def test_every_table_has_its_place() -> None:
    places = [name for page in PAGES for name in re.findall(r"<!-- table (\w+):", page.read_text(encoding="utf-8"))]
    assert sorted(places) == sorted(evidence.TABLES)


def run(source: str, seed: int, **metrics: float) -> dict[str, object]:
    return {"source": source, "seed": seed, "metrics": metrics, "length": 500, "lr": 0.08}


def test_a_gain_is_paired_and_bold_where_it_is_clear() -> None:
    """AP differs by 2, 3 and 4: 3 ± 4.303 / sqrt(3). Unpaired, the interval would contain zero."""
    rows = [run("new", seed, AP=ap, Miss=1.0) for seed, ap in ((2, 54.0), (0, 12.0), (1, 33.0))]
    rows += [
        run("scratch", seed, AP=ap, Miss=miss) for seed, ap, miss in ((0, 10.0, 0.0), (1, 30.0, 1.0), (2, 50.0, 2.0))
    ]
    made = evidence.compared(rows, names={"scratch": "none", "new": "`x`"}, metrics={"AP": "AP", "TIDE": "Miss"})
    assert made.splitlines() == [
        "| start | AP | TIDE |",
        "|---|---|---|",
        "| none | 30.0 | 1.0 |",
        "| `x` | 33.0 | 1.0 |",
        "| gain | **+3.0 ± 2.5** | +0.0 ± 2.5 |",
    ]


def test_the_ladder_leaves_out_other_rates_and_missing_domains() -> None:
    metrics = {"AP": 10.0, "AP50": 20.0, "RPN_AR100": 30.0}
    rows = [
        {"name": f"{domain}/fit/{source}", "result": run(source, seed, **{k: v + gain for k, v in metrics.items()})}
        for seed in range(3)
        for domain in ("steel", "bccd")
        for source, gain in (("scratch", 0.0), *((name, 1.0) for name in ("grid", "byol") if domain == "steel"))
    ]
    rows.append({"name": "steel/rung0", "result": {**run("scratch", 0, AP=99.0), "lr": 0.16}})
    rows.append({"name": "steel/boxes", "result": {}})
    lines = evidence.ladder(rows).splitlines()
    assert lines[2] == "| scratch | 10.0 | 20.0 | 30.0 | 10.0 | 30.0 |"
    assert lines[3] == "| grid | 11.0 (+1.0 ± 0.0) | 21.0 (+1.0 ± 0.0) | 31.0 (+1.0 ± 0.0) | - | - |"


def test_pre_training_behind_a_backbone_is_compared_with_the_backbone_alone() -> None:
    """A gain is to the backbone, not to scratch, and paired: AP differs by 1, 2 and 3."""
    base = {"AP": 10.0, "RPN_AR100": 30.0}
    of = {"data": "bccd", "iterations": 200}
    rows = [run("backbone", seed, **base) | of for seed in range(3)]
    rows += [run("ema", seed, **{**base, "AP": 11.0 + seed}) | of for seed in range(3)]
    rows += [run("scratch", seed, **{**base, "AP": 5.0 * seed}) | of for seed in range(3)]
    rows += [run("backbone", 0, **{**base, "AP": 70.0}) | of | {"iterations": 1000}]
    lines = evidence.existing_backbone(rows, metric="AP").splitlines()
    assert lines[0] == (
        "| start | steel, 200 iterations | steel, 1,000 iterations | BCCD, 200 iterations | BCCD, 1,000 iterations |"
    )
    assert lines[2:] == [
        "| backbone | - | - | 10.0 | 70.0 |",
        "| ema | - | - | 12.0 (+2.0 ± 2.5) | - |",
        *(f"| {name} | - | - | - | - |" for name in ("ema_frozen", "teacher", "teacher_frozen")),
    ]
    assert "| ema | - | - | 30.0 (+0.0 ± 0.0) | - |" in evidence.existing_backbone(rows, metric="RPN_AR100")


def test_a_page_keeps_what_is_not_marked(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("")
    page = "# A\n\n<!-- table ladder: results/a.jsonl -->\n\nold\n\n<!-- end of table -->\n\n| b |\n|---|\n| 1 |\n"
    made = evidence.render(page, tmp_path)
    assert made == page.replace("old", evidence.ladder([]) + "\n\n*Raw results: `results/a.jsonl`.*")
    assert evidence.render(made, tmp_path) == made


def test_a_rate_without_a_range_is_of_a_fed_run() -> None:
    asked = {"asked": {"batch": 8}}
    timed = {"images_per_s": 1234.4, "least": 5.0, "most": 6.0, "tflop_per_s": 7.5, **asked}
    fed = {"variant": "fed_r18_112_cached", "images_per_s": 9.6, "data_wait": 0.25, "workers": 3, **asked}
    names = ("bare_r50", "joint_r50", "soco_r50_all_levels", "joint_r18_112")
    lines = evidence.speed([*({"variant": name, **timed} for name in names), fed]).splitlines()
    assert lines[2].endswith("| 8 | 1,234 (5-6) | 8 |")
    assert lines[-1].endswith("| 8 | 10, of its time 25.0% waiting for data (3 workers) |  |")
    assert evidence.table(["a"], [["b"]]) == "| a |\n|---|\n| b |"


def test_the_bundled_weights_are_compared_on_one_data_set_at_a_time() -> None:
    """AP differs by 1, 2 and 3: 2 ± 4.303 / sqrt(3). What is not bundled has no line."""
    keys = ("AP", "AP50", "TIDE_Loc", "TIDE_Miss", "RPN_AR100")
    rows = []
    for seed in range(3):
        for source in evidence.BUNDLED:
            values = dict.fromkeys(keys, 10.0) | {"AP": 10.0 + (seed + 1) * (source != "scratch")}
            rows += [run(source, seed, **values) | {"data": data} for data in ("steel", "bccd")]
        rows.append(run("detection without its box regressor", seed, **dict.fromkeys(keys, 70.0)) | {"data": "steel"})
    rows.append(run("scratch", 3, **dict.fromkeys(keys, 90.0)) | {"data": "bccd"})
    lines = evidence.bundled(rows, data="steel").splitlines()
    assert lines[0] == "| start | AP | AP50 | TIDE Loc | TIDE Miss | RPN AR100 |"
    assert lines[2] == "| scratch | 10.0 | 10.0 | 10.0 | 10.0 | 10.0 |"
    assert lines[3].startswith("| detection | 12.0 (+2.0 ± 2.5) | 10.0 (+0.0 ± 0.0) |")
    assert len(lines) == 2 + 6
