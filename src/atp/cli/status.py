"""`atp status`: how each log stands."""
