"""What people declare: a YAML text -> typed values, and every fault with its line, column, field and next move."""
