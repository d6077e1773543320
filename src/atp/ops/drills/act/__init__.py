"""Carrying a drill out: a scratch directory, a restore, questions behind a fence, and the heartbeat."""
