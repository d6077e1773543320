"""The path of an event: eight stations, each looks upstream only."""
