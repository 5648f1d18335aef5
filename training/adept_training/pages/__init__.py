"""Write HTML pages and plots; nothing else in the trainer does."""
