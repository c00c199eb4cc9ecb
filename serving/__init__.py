"""The HTTP edge that service.py puts together."""
