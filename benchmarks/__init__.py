"""Measurements of the service, its peers and the runtimes."""
