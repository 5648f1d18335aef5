"""What is measured and shown while a pre-training runs, and judged when it ends."""
