"""The order in which the GPU's variants run: what takes the processors never runs beside an eager step."""

from __future__ import annotations

from benchmarks.gpu.speed import next_ones, summarize
from benchmarks.gpu.variants import VARIANTS, Variant


def test_nothing_compiles_or_loads_beside_an_eager_step() -> None:
    waiting, running, beside = list(VARIANTS), list[Variant](), list[set[str]]()
    while waiting or running:
        for variant in next_ones(waiting, running):
            waiting.remove(variant)
            running.append(variant)
        beside.append({v.lane for v in running})
        running.pop(0)  # the first to begin is the first to end
    assert all(len(lanes) == 1 for lanes in beside)
    assert {lane for lanes in beside for lane in lanes} == {"eager", "compiled", "loader"}


def test_the_loader_waits_for_its_images() -> None:
    loaders = [v for v in VARIANTS if v.lane == "loader"]
    assert next_ones(loaders, [], writing=True) == []
    assert next_ones(loaders, [], writing=False) == loaders[:1]


def test_ratios_are_to_the_variants_that_are_asked_for() -> None:
    asked = {"base": "joint_r50", "yardstick": "bare_r50"}
    records = {
        "bare_r50": {"images_per_s": 800.0, "asked": asked},
        "joint_r50": {"images_per_s": 400.0, "asked": asked},
        "joint_r50_compiled": {"images_per_s": 600.0, "asked": asked, "data_wait": 0.5},
        "joint_r18_112": {"images_per_s": 900.0, "asked": {"base": "joint_r18_112", "yardstick": "bare_r18_112"}},
        "joint_r50_graphs": {"error": "no", "asked": asked},
    }
    summary = summarize(records)
    assert summary.keys() == records.keys() - {"joint_r50_graphs"}
    assert summary["joint_r50_compiled"] == {
        "images_per_s": 600.0, "ratio_to_base": 1.5, "ratio_to_bare": 0.75, "data_wait": 0.5,
    }  # fmt: skip
    assert summary["joint_r18_112"] == {"images_per_s": 900.0, "ratio_to_base": 1.0, "ratio_to_bare": None}
