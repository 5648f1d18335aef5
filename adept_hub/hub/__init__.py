"""The Hugging Face Hub: requests, downloads that are counted and verified, and its cache."""
