"""The pages under test: over HTTP for what they refuse and say, in a real browser for how they behave."""
