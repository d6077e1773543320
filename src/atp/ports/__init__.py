"""What the platform asks of the world: one promise a file, kept by the strangers in `atp.adapters`."""
