"""Reference pages and listings, generated from the source."""
