"""Wiring: configuration, the open platform, and the loops that drive the path."""
