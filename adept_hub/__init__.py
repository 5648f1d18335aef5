"""ADePT detectors for the framework you already use."""

from __future__ import annotations

__version__ = "0.1.0.dev0"
