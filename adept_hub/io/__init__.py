"""Bytes from elsewhere: read within bounds, or refused with one error."""
