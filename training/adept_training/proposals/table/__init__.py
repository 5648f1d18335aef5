"""Proposals on disk: shards, their index, and lookup by image key at training time."""
