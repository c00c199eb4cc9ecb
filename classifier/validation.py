"""Say in one sentence what is wrong with a value or a name."""

import difflib
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from pydantic import ValidationError

MAX_SHOWN_CHARACTERS = 100
"""Most characters of a value that an error message repeats."""


def listed(items: Sequence[str], most: int) -> str:
    """Return the first items with commas between them, at most `most`, and how many more there are."""
    first = ", ".join(items[:most])
    return first if len(items) <= most else f"{first} and {len(items) - most} more"


def shortened(text: str, most: int) -> str:
    """The text, or its first `most` characters with "…" behind them if it is longer."""
    return text if len(text) <= most else text[:most] + "…"


@dataclass(frozen=True)
class BrokenRule:
    """The first rule that a value breaks."""

    loc: tuple[str | int, ...]
    """Where the value is, as a path of keys and indices; empty if the rule is about the whole content."""
    kind: str
    """The type of the error, as pydantic names it."""
    value: object
    rule: str

    @property
    def place(self) -> str:
        """Where the value is, with dots; "content" for the whole content."""
        return ".".join(map(str, self.loc)) or "content"

    @property
    def names_its_values(self) -> bool:
        """Whether `rule` is a whole sentence of this project, which names the things and their values."""
        return self.kind == "value_error"

    def __str__(self) -> str:
        return f"{self.place}: {self.rule}"

    def with_value(self) -> str:
        """Say place, value and rule; a long value is cut."""
        shown = repr(self.value)
        if len(shown) > MAX_SHOWN_CHARACTERS:
            shown = f"{shown[:MAX_SHOWN_CHARACTERS]}… ({len(shown)} characters)"
        return f"{self.place} is {shown}: {self.rule}"


def first_error(error: ValidationError) -> BrokenRule:
    """Return the first of the rules that pydantic found broken."""
    broken = error.errors(include_url=False)[0]
    cause = broken.get("ctx", {}).get("error")
    rule = str(cause) if broken["type"] == "value_error" else broken["msg"]
    return BrokenRule(broken["loc"], broken["type"], broken["input"], rule)


def nearest(name: str, known: Collection[str]) -> str:
    """Return the known name that `name` was most probably meant to be; there must be at least one."""
    return difflib.get_close_matches(name, list(known), n=1, cutoff=0)[0]


def say_nearest(name: str, known: Collection[str]) -> str:
    """Say which known name is nearest to `name`."""
    return f"the nearest is {nearest(name, known)!r}" if known else "there is none"


def unknown_key(key: object, known: Collection[str], section: str) -> str:
    """Say that a section lacks a key, and which of its keys is the nearest; "" is the whole content."""
    where = f"section {section!r}" if section else "it"
    return f"{where} has no key {key!r}; {say_nearest(str(key), known)}"


def is_misspelt(word: str, right: str, max_letters: int = 2) -> bool:
    """Return whether a word differs from the right one by 1 to `max_letters` letters.

    A letter may be missing, added or another one (Levenshtein, 1966).
    """
    if word == right or abs(len(word) - len(right)) > max_letters:
        return False
    distances = list(range(len(right) + 1))
    for row, letter in enumerate(word, start=1):
        diagonal, distances[0] = distances[0], row
        for column, other in enumerate(right, start=1):
            changed = diagonal + (letter != other)
            diagonal = distances[column]
            distances[column] = min(changed, diagonal + 1, distances[column - 1] + 1)
    return distances[-1] <= max_letters
