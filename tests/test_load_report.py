"""The load report: counts that add up, and a table that shows them."""

from __future__ import annotations

import pytest

from adept_hub.load_report import LoadReport, PartReport

REPORT = LoadReport(
    "hf-hub:org/repo",
    "soco_r18_fpn.x",
    (
        PartReport("backbone", loaded=3, bytes=2_000_000),
        PartReport("rpn", reinitialized=("a", "b")),
        PartReport("head", loaded=1, bytes=500_000, reshaped=("w",), skipped=(("k", "no such layer"),)),
    ),
    ("anchors differ",),
    "cc-by-nc-4.0",
)


def test_sums_and_lookup() -> None:
    assert (REPORT.loaded, REPORT.bytes) == (4, 2_500_000)
    assert REPORT["rpn"].reinitialized == ("a", "b")
    with pytest.raises(KeyError):
        REPORT["fpn"]


def test_the_table() -> None:
    assert str(REPORT).splitlines() == [
        "soco_r18_fpn.x from hf-hub:org/repo, license of the weights: cc-by-nc-4.0",
        "part      loaded   MB  re-initialized  reshaped  skipped",
        "backbone       3  2.0               0         0        0",
        "rpn            0  0.0               2         0        0",
        "head           1  0.5               0         1        1",
        "total          4  2.5               2         1        1",
        "  head: k was skipped: no such layer",
        "  anchors differ",
    ]
