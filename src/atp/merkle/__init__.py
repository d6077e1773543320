"""The mathematics of the log: hashes, tiles, proofs and signed notes; bytes and integers, no tenant, clock or disk."""
