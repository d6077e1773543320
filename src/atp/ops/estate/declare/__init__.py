"""What an estate declares: the values of `estate.yaml`, what contradicts itself, and when revenue hours are."""
