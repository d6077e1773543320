"""Backups under test: made, read back, attacked, killed, restored, and judged by the data."""
