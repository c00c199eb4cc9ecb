"""The routes that predict nothing, and the description of the API."""
