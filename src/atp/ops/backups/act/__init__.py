"""The acts on backups: make one, list, verify, restore, prune; each a pure plan and what carries it out."""
