"""Many small fine-tunings compared: sources, label budgets and seeds."""
