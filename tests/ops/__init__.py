"""Acts of operators under test."""
