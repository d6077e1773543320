"""What a backup is made of, byte by byte: tar or a database, zstd, age, and two manifests (docs/backups.md)."""
