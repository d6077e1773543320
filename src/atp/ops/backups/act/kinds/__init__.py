"""One module for each kind of dataset: how it becomes a stream, and how a stream becomes it again."""
