"""The HTTP side of the service; service.py puts its parts together."""
