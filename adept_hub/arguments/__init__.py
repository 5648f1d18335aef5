"""Validation of the arguments of public calls, before they are used."""
