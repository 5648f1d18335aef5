"""Proposals: selective search, its filter, the table of boxes and the runs that fill it.

Names are imported when first used: the command line lists presets without paying for Numba, Arrow or OpenCV.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from adept_training.proposals.run import RunReport, run_proposals
    from adept_training.proposals.search.boxes import filter_boxes
    from adept_training.proposals.search.presets import PRESETS, BoxFilter, Preset, get_preset
    from adept_training.proposals.selective import Regions, search_regions, selective_search
    from adept_training.proposals.table.store import ProposalTable

__all__ = [
    "PRESETS",
    "BoxFilter",
    "Preset",
    "ProposalTable",
    "Regions",
    "RunReport",
    "filter_boxes",
    "get_preset",
    "run_proposals",
    "search_regions",
    "selective_search",
]

_HOME = {
    "PRESETS": "search.presets",
    "BoxFilter": "search.presets",
    "Preset": "search.presets",
    "get_preset": "search.presets",
    "filter_boxes": "search.boxes",
    "RunReport": "run",
    "run_proposals": "run",
    "Regions": "selective",
    "search_regions": "selective",
    "selective_search": "selective",
    "ProposalTable": "table.store",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
