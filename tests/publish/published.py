"""A finished run to publish, and what a repository then holds."""

from __future__ import annotations

from adept_hub.checkpoint.folder import CONFIG, WEIGHTS
from adept_hub.spec import Metric
from tests.hub.loopback import Hub

METRICS = (
    Metric("AP50", 41.5, "VOC2007 test", "self-reported", "adept evaluate runs/x --data voc:VOC2007", "± 0.3, 3 seeds"),
    Metric("AP", 20.25, "VOC2007 test", "reproduced"),
    Metric("AP", 38.2, "COCO val2017", "paper-reported"),
    Metric("TIDE Loc", 6.5, "VOC2007 test", "self-reported"),
)


UP = [
    ".eval_results/voc2007-test.yaml",
    "README.md",
    CONFIG,
    "log.jsonl",
    WEIGHTS,
    "pictures/top_proposals.png",
    "recipe.yaml",
]


def files_of(hub: Hub, repo: str, ref: str = "main") -> dict[str, bytes]:
    found = hub.repos[repo]
    return found.commits[found.refs[ref]].files
