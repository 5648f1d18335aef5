"""Compare sources over label budgets and seeds with many small fine-tunings."""
