"""The life of the server's processes: how they start, listen, are watched and stop."""
