"""Bounded reading of files and network responses, and atomic writing."""
