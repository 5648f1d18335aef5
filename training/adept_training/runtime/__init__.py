"""What every kind of run needs: processes, log, trackers, ownership of a folder, recipe files."""
