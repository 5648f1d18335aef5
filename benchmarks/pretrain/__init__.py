"""Speed of a pre-training step."""
