"""Which probes a run is judged by: its first and its last, of the network that is exported."""

from __future__ import annotations

from pathlib import Path

import pytest

from adept_training.pretraining.watch.log import RunLog
from adept_training.pretraining.watch.outcome import network_of, verdict_of
from tests.training.support import tiny


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
