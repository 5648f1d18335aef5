"""From a detector in memory to a checkpoint folder, and from there to the Hub."""
