"""Convert a foreign model into an artifact that gives the same answers."""
