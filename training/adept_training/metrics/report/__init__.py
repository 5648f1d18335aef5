"""The report page of one evaluation, with its drawings and pictures."""
