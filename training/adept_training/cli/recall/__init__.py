"""Implement ``adept proposals evaluate`` and ``tune``."""
