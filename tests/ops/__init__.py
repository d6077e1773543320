"""Acts of operators: how they are written down, wait, and are delivered."""
