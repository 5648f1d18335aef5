"""Measurements for a GPU that is rented by the minute: one command, stages with their own limits, all rehearsed."""
