"""The house itself under test: sizes, names, words, docstrings, import contracts."""
