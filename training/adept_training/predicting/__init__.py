"""Run a detector on images of one's own: boxes as objects, pictures and files."""
