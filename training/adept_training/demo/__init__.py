"""``adept demo``: the bundled weights at work on the bundled photographs."""
