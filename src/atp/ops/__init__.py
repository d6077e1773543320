"""The acts of operators: one folder per noun, declared in a file, done, and written down before and after each step."""
