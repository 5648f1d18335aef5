"""A look at the machine and a few images: what it is, how fast it decodes, searches and trains."""
