"""Keepers of the promises in `atp.ports`: strangers to each other, known to `atp.app.open` alone."""
