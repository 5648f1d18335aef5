"""Measurements and pictures of a pre-training in progress, and its verdict."""
