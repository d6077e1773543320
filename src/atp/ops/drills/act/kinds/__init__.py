"""One module for each kind of dataset: the living one, which is looked at, and the restored copy, which is asked."""
