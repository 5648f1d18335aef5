"""Fine-tuning a detector on labels."""
