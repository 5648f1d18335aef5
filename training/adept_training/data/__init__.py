"""From a photograph and its boxes to a batch of three views."""
