"""Starters of real servers for the tests: each one runs privately, on loopback, and leaves nothing behind."""
