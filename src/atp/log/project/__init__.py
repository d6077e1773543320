"""5/8 project: published entries -> read models, one view a file."""
