"""The HTTP door: parse, call the platform, render; one file a noun."""
