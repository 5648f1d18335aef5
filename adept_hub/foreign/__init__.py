"""Checkpoints of other projects: how their files are read safely and how their tensors are named."""
