"""Which probes a run is judged by: its first and its last, of the network that is exported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from adept_hub.checkpoint.folder import read_config
from adept_training.pretraining.asked import Asked
from adept_training.pretraining.pretrain import pretrain
from adept_training.pretraining.watch.log import RunLog
from adept_training.pretraining.watch.outcome import network_of, verdict_of
from tests.training.support import RandomBoxes, tiny, write_photographs


def _log(folder: Path, probes: list[tuple[float, float]], *settings: str) -> RunLog:
    """Of 900 steps; each probe has the AUC of the online and of the target network."""
    (folder / "recipe.yaml").write_text(tiny(*settings).to_yaml())
    start = {"kind": "start", "step": 0, "steps": 900, "images": 5000, "held_out": 200, "held_out_boxes": 4000}
    records = [
        {"kind": "probe", "step": 900 * at // max(len(probes) - 1, 1), "online_objectness_auc": online,
         "target_objectness_auc": target, "online_head_rank": 20.0, "target_head_rank": 20.0}
        for at, (online, target) in enumerate(probes)
    ]  # fmt: skip
    return RunLog(folder, [start, *records, {"kind": "train", "step": 900, "loss": 1.0}], 0)


@pytest.mark.parametrize(
    ("settings", "network"),
    [
        (("export.network=target",), "target"),
        (("export.network=online",), "online"),
        # Without a contrast there is one network, whatever is asked for.
        (("method.name=adept_separate", "export.network=target"), "online"),
    ],
)
def test_the_first_and_the_last_probe_of_the_exported_network_count(
    settings: tuple[str, ...], network: str, tmp_path: Path
) -> None:
    """In between it rose and fell again; the other network does the opposite."""
    up, down = [0.6, 0.3, 0.9], [0.6, 0.95, 0.55]
    for mine, other, word in ((up, down, "better"), ([0.9, 0.95, 0.6], [0.6, 0.3, 0.9], "worse")):
        probes = list(zip(mine, other, strict=True)) if network == "online" else list(zip(other, mine, strict=True))
        log = _log(tmp_path, probes, *settings)
        assert network_of(log) == network
        verdict = verdict_of(log)
        assert verdict.word == word
        assert f"{mine[0]:.2f} -> {mine[-1]:.2f}" in verdict.sentence


def test_one_probe_is_no_comparison(tmp_path: Path) -> None:
    assert verdict_of(_log(tmp_path, [(0.6, 0.6)])).word == "not judged"


def _records(folder: Path, kind: str) -> list[dict[str, Any]]:
    records = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [record for record in records if record["kind"] == kind]


def test_held_out_photographs_are_not_trained_on_and_the_recall_is_told(tmp_path: Path) -> None:
    recipe, source = tiny("data.held_out=200", "schedule.epochs=1"), write_photographs(tmp_path / "p", 40)
    outcome = pretrain(recipe, source, RandomBoxes(), tmp_path / "r", asked=Asked(report=False))
    start = _records(tmp_path / "r", "start")[0]
    assert (start["images"], start["held_out"]) == (38, 2), "at most one in twenty"
    figures = {"recall100_iou50", "recall100_iou70", "objectness_auc", "objectness_auc_level", "head_rank"}
    assert set(outcome.first) >= {f"{network}_{name}" for network in ("online", "target") for name in figures}
    assert all(0 <= value <= 1 for name, value in outcome.last.items() if not name.endswith("rank"))
    assert outcome.last["target_head_rank"] > 1
    shown = _records(tmp_path / "r", "proposals")
    assert [record["step"] for record in shown] == [0, 9]
    assert [len(boxes) for record in shown for boxes in record["boxes"]] == [6] * 4, "six on each of two photographs"
    assert (tmp_path / "r" / "held_out.png").is_file()
    probes = _records(tmp_path / "r", "probe")
    assert [probe["step"] for probe in probes] == [0, 9]
    assert probes[0].items() >= outcome.first.items()
    assert probes[1].items() >= outcome.last.items()
    exported = read_config(tmp_path / "r" / "export").provenance
    assert {metric.name.replace("rpn_", ""): metric.value for metric in exported.metrics} == {
        name: pytest.approx(value, abs=1e-4) for name, value in outcome.last.items()
    }
    assert any(abs(outcome.first[name] - value) > 1e-3 for name, value in outcome.last.items())
    assert exported.images == 38
