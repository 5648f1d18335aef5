"""Doors for other tools' own configs: ``adept://NAME`` where a file of weights is expected."""
