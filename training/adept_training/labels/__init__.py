"""Labeled data sets: formats, checks, image identity, and subsets."""
