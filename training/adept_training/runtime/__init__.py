"""Shared parts of all runs: processes, log, trackers, ownership of a folder, recipe files."""
