"""Fine-tuned detectors: their files, and what they find in images."""
