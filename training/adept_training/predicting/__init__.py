"""Run a detector on images: detections as Python objects, pictures and files."""
