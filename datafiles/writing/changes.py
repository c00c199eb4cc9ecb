"""What a writer had to change in the values, because a kind of file cannot hold them."""

import json
from collections import Counter
from collections.abc import Sequence

from datafiles.surrogates import replace_surrogates


class Changes:
    """Counts the cells that were changed, by what was changed in them."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def count(self, change: str) -> None:
        """Count a cell; `change` completes the sentence "3 cells ..."."""
        self._counts[change] += 1

    def notices(self) -> tuple[str, ...]:
        """Return one sentence for each change."""
        return tuple(
            f"{count:,} cell{'s' * (count != 1)}: {change}." for change, count in self._counts.items()
        )

    def encodable(self, text: str) -> str:
        """Return a text with "\ufffd" for each half of a character."""
        written = replace_surrogates(text)
        if written != text:
            self.count("halves of characters, which cannot be written, were replaced")
        return written


def as_text(value: object) -> str:
    """Return the text of a value: JSON for a list or a dict, and what Python prints for others."""
    if isinstance(value, dict | list | tuple):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


def header_of(columns: Sequence[str], changes: Changes) -> list[str]:
    """Return the names of the columns as they can be written."""
    return [changes.encodable(column) for column in columns]
