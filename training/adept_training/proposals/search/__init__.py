"""Selective search on one image: presets, segmentation, grouping, and the filter after it."""
