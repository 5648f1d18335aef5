"""The pre-training run: recipe, optimiser, checkpoints, journal and the loop."""
