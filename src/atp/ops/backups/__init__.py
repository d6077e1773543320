"""Backups that are proven: declared in the estate file, made, locked, read back, restored, pruned, and told of."""
