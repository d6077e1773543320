"""The verifier: stands below the writer, trusts no word of it, and needs only hashes, a signature library and zstd."""
