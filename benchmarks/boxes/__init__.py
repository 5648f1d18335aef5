"""Benchmarks of proposals: speed, faults, the store, and which boxes find objects."""
