"""Read, write and validate checkpoint folders and weights files."""
