"""The gains of the benchmark of self-training: paired, of complete seeds only, and what both gain beyond their sum."""

from __future__ import annotations

from benchmarks.practitioner.self_training import ARMS, summary


def test_gains_are_paired_over_the_seeds_that_all_arms_have() -> None:
    # AP of the four arms by seed. Self-training gains 1, 2 and 3, half of whose interval is 4.303 / sqrt(3); after
    # pre-training it gains 3, 4 and 5: always 2 more than alone.
    values = {0: (10.0, 11.0, 14.0, 17.0), 1: (20.0, 22.0, 26.0, 30.0), 2: (30.0, 33.0, 38.0, 43.0)}
    rows = [
        {"arm": arm, "images": 3, "seed": seed, "metrics": {"AP": ap}}
        for seed, row in values.items()
        for arm, ap in zip(ARMS, row, strict=True)
    ]
    rows.append({"arm": "scratch", "images": 3, "seed": 3, "metrics": {"AP": 99.0}})
    rows.append({"arm": "scratch", "images": 10, "seed": 0, "metrics": {"AP": 99.0}})
    assert summary(rows) == [
        "   3 images, 3 seeds, AP: pre-training +6.0 ± 5.0",
        "   3 images, 3 seeds, AP: self-training +2.0 ± 2.5",
        "   3 images, 3 seeds, AP: self-training after pre-training +4.0 ± 2.5",
        "   3 images, 3 seeds, AP: both +10.0 ± 7.5",
        "   3 images, 3 seeds, AP: both, beyond the sum of the two +2.0 ± 0.0",
    ]
