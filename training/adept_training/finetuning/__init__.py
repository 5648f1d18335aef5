"""Fine-tune a detector on labels."""
