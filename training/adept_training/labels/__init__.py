"""Labeled data sets: formats, checks, the identity of images, and subsets."""
