"""The canonical architecture, built from torchvision's modules; importing this package imports torch."""

from __future__ import annotations

from adept_hub.models.detector import assemble_detector
from adept_hub.models.parts import DetectorParts

__all__ = ["DetectorParts", "assemble_detector"]
