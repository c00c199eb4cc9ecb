"""Halves of characters, which JSON can hold alone, but no encoding of Unicode can."""

import re

_SURROGATES = re.compile("[\ud800-\udfff]")


def replace_surrogates(text: str) -> str:
    """Return a text with "\ufffd" for each half of a character."""
    return text if text.isascii() else _SURROGATES.sub("\ufffd", text)
