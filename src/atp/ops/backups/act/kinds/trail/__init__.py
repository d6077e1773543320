"""The trail itself: the data directory of `atp serve`, copied while it is served, restored without forking a log."""
