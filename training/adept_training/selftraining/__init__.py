"""Self-training of a detector on unlabeled images: a mean teacher, pseudo-labels and their boxes' uncertainty."""
