"""Who owns a log, who may touch it, which keys sign it."""
