"""Restore drills: a declared loss, a real restore into a place of its own, measured, judged, signed and remembered."""
