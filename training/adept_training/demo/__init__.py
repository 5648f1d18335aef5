"""``adept demo``: run the bundled weights on the bundled images."""
