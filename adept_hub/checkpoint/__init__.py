"""The checkpoint folder: its files, their limits, and the license that goes with the weights."""
