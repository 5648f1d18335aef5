"""Pseudo-classes of unlabeled boxes: clusters of what the boxes look like."""
