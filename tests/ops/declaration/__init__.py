"""Reading what people declare, under test."""
