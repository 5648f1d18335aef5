"""Access to the Hugging Face Hub: requests, verified downloads with limits, and the cache."""
