"""The pre-training run: recipe, optimizer, checkpoints and the loop."""
