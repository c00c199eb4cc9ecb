"""What keeps a server from being measured."""


class BenchmarkError(Exception):
    """A server or a tool that failed; the message says which, and why."""
