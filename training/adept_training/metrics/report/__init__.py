"""The report page of an evaluation, with its plots and pictures."""
