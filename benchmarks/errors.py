"""The errors of the benchmarks."""

from classifier.errors import ClassifierError


class BenchmarkError(ClassifierError):
    """A server or a tool failed; the message says which one and why."""


class WrongOption(ValueError):
    """The value of an option is invalid; the message says which values are valid."""
