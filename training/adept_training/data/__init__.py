"""Make batches of three views from images and their boxes."""
