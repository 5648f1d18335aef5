"""A caution for weights that still contain a share of their random initial values."""

from __future__ import annotations

#: A larger share is reported in the first line of the card and of every export.
MAX_RANDOM_SHARE = 0.05


def random_share_caution(share: float | None) -> str | None:
    """Return one line about the share of random initial values in the weights, with a remedy; None if it is small.

    Args:
        share: in [0, 1]; None: unknown.
    """
    if share is None or share <= MAX_RANDOM_SHARE:
        return None
    return (
        f"caution: {share:.0%} of these weights are still their random initial values: training had too few steps for "
        "the momentum of the target network. Pre-train again with more steps (schedule.epochs), or add "
        "--set method.momentum_bound=run"
    )
