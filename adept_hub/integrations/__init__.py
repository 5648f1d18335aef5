"""URL handlers for other tools' configs: ``adept://NAME`` instead of a weights file."""
