"""The estate under test."""
