"""The error for a file that cannot be used."""

from classifier.errors import ClassifierError
from classifier.validation import shortened

MAX_SHOWN_CHARACTERS = 60
"""Most characters of a value or of a column's name that a message shows. In a file without a header, a text
is in the place of a name, and texts may be confidential."""


class DataFileError(ClassifierError):
    """The file cannot be used; one sentence names the file and what is wrong with it."""


class EncodingUnknown(DataFileError):
    """The bytes of the file are not text in the encodings that were tried, so that it must be named."""


def shown(value: object) -> str:
    """Return how a message shows a value: its beginning if it is long."""
    return shortened(repr(value), MAX_SHOWN_CHARACTERS)
