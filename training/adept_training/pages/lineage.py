"""Show the starting point of a run in every report."""

from __future__ import annotations

from collections.abc import Sequence

from adept_hub.spec import Start
from adept_training.pages.page import Page


def write_starts(
    page: Page,
    starts: Sequence[Start],
    license: str,  # its name everywhere
    of: str = "",
) -> None:
    """Write the chain of checkpoints that a run descends from, the direct one first, and the run's own license."""
    page.heading(f"Started from{of}")
    if starts:
        page.table(["checkpoint", "license", "SHA-256"], [[s.name, s.license, s.sha256] for s in reversed(starts)])
    else:
        page.text("Random values: the run did not start from a checkpoint.")
    page.text(f"License of these weights: {license or 'unstated'}.", "dim")
