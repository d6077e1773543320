"""The acts of operators: declared, done, and written down in the operators' own log before and after each step."""
