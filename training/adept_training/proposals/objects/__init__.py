"""The preset ``objects``: boxes of three kinds of cues, ranked without labels, near-duplicates dropped."""
