"""PostgreSQL: base backups by its own tools, its write-ahead log shipped by segments, and any moment between."""
