"""Save a detector as a checkpoint folder, and push the folder to the Hub."""
