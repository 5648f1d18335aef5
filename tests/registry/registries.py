"""Small registry files for tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def small(**changes: Any) -> dict[str, Any]:
    """A registry file of one architecture and one checkpoint of it."""
    return {
        "format_version": 2,
        "architectures": {"mine_r18_fpn": {"method": "soco", "spec": {"depth": 18}, "summary": "mine"}},
        "checkpoints": {"mine_r18_fpn.photos": checkpoint()},
        "defaults": {"mine": "mine_r18_fpn.photos", "mine_r18": "mine_r18_fpn"},
        "deprecated": {"mine_old": "mine_r18_fpn.photos"},
    } | changes


def checkpoint(**changes: Any) -> dict[str, Any]:
    return {
        "location": {"repo": "org/mine", "revision": COMMIT},
        "sha256": "ab" * 32,
        "size": 1000,
        "license": "mit",
        "data": "photos",
        "images": 5,
        "epochs": 2,
    } | changes


def write(path: Path, data: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data))
    return path
