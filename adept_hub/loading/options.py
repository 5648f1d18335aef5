"""The keywords of `adept_hub.load_pretrained`, for calls that pass them on."""

from __future__ import annotations

import os
from collections.abc import Iterable

from adept_hub.convert.options import Anchors, Detector
from adept_hub.models.options import DetectorOptions


class LoadOptions(DetectorOptions, total=False):
    """Names and types of the keywords; a test compares them with the signature."""

    num_classes: int
    detector: Detector
    parts: str | Iterable[str]
    anchors: Anchors
    revision: str | None
    cache_dir: str | os.PathLike[str] | None
    offline: bool | None
    token: str | bool | None
