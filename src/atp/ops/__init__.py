"""The acts of operators: one folder per noun, each declared in a file, proven from the operators' trail."""
