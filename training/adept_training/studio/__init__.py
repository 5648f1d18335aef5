"""``adept studio``: one local page to look through boxes, views, objectness, detections, errors and comparisons."""
