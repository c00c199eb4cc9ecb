"""Distinct names for the columns of a file."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count as counting

from classifier.validation import listed, shortened
from datafiles.errors import shown
from datafiles.surrogates import replace_surrogates

MAX_SHOWN_COLUMNS = 10

MAX_NAME_CHARACTERS = 200
"""Most characters of a name. In a file without a header, a whole text is in the place of a name."""


@dataclass(frozen=True)
class NamedColumns:
    """The names of n columns."""

    columns: tuple[str, ...]
    duplicates: tuple[str, ...]
    """The names that occur more than once in the file."""
    notices: tuple[str, ...]


def name_columns(names: Sequence[str]) -> NamedColumns:
    """Give each column a name of its own, which can be written, without white space around it."""
    stripped = [replace_surrogates(name).strip() for name in names]
    long = [name for name in stripped if len(name) > MAX_NAME_CHARACTERS]
    stripped = [shortened(name, MAX_NAME_CHARACTERS) for name in stripped]
    counts = Counter(stripped)
    used: set[str] = set()
    columns = []
    renamed = []
    for position, name in enumerate(stripped, start=1):
        column = name
        if not name or name in used:
            column = _free_name(name, position, used | counts.keys())
            renamed.append(column)
        used.add(column)
        columns.append(column)
    duplicates = tuple(name for name, number in counts.items() if name and number > 1)
    return NamedColumns(tuple(columns), duplicates, _say_cut(long) + _say_renamed(renamed))


def numbered_columns(count: int) -> list[str]:
    """Return the names of the columns of a file without a header."""
    return [f"column {position}" for position in range(1, count + 1)]


def show_names(names: Sequence[str]) -> str:
    """Return how a message shows a list of names: the first of them, and how many more there are."""
    return listed([shown(name) for name in names], MAX_SHOWN_COLUMNS)


def _free_name(name: str, position: int, taken: set[str]) -> str:
    first = f"column {position}"
    if not name and first not in taken:
        return first
    base = name or first
    return next(free for number in counting(2) if (free := f"{base} ({number})") not in taken)


def _say_cut(long: Sequence[str]) -> tuple[str, ...]:
    if not long:
        return ()
    return (f"Names of columns with more than {MAX_NAME_CHARACTERS} characters are cut: {show_names(long)}.",)


def _say_renamed(renamed: Sequence[str]) -> tuple[str, ...]:
    if not renamed:
        return ()
    return (f"Columns whose name is missing or occurs twice are called {show_names(renamed)}.",)
