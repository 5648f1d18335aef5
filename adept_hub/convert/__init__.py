"""Canonical weights to torchvision, Detectron2 and MMDetection and back; importing this package imports torch."""

from __future__ import annotations

from adept_hub.convert.export import export_state, import_state, write_export

__all__ = ["export_state", "import_state", "write_export"]
