"""What is proven of an estate, what that is worth, and what falls when something falls. Pure: no disk, no clock."""
