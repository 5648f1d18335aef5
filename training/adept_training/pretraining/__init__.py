"""Pre-training: recipe, optimizer, checkpoints and the loop."""
