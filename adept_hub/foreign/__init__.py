"""Import checkpoints of other projects: their layouts, and conversion to the canonical form."""
