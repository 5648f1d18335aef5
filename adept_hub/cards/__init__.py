"""Model cards and tables, generated from a checkpoint's config and its measurements."""
