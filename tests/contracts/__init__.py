"""One suite a port, run on every keeper of it; what sets keepers apart is written in their tags."""
