"""The steps that clean a text, and the places in the text that each cleaned character comes from."""

import functools
import re
import string
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, filterfalse
from typing import ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

_TAG = re.compile(r"<(?:/?[A-Za-z]|!)[^<>]*>")
_ASCII_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_PUNCTUATION = re.compile(f"[{re.escape(string.punctuation)}]+")
_SPACES = re.compile(r"\s+")
_SEVERAL_SPACES = re.compile(r"\s\s+")
_URL = re.compile(r"(?:https?://|www\.)\S+", re.IGNORECASE)
_EMAIL = re.compile(r"(?<!\S)[^\s@]++@\S+")
# For ASCII texts this does the same as `_not_letters`, many times as fast.
_ASCII_NOT_LETTERS = re.compile(r"[^A-Za-z]+")
_MAX_MARKS = 30
"""Most combining marks in a row that are kept, as in Unicode's stream-safe text format (UAX #15, D3). The
time of normalization grows with the square of their number."""
# Long runs of non-ASCII characters are rare, and looking for one is much faster than looking for marks.
_LONG_RUN = re.compile(rf"[^\x00-\x7f]{{{_MAX_MARKS + 1}}}")

Edit = tuple[int, int, int]
"""A step replaces the characters from a start to an end, at least one, by so many others."""

_HANGUL = (0xAC00, 0xD7A3)
"""The first and the last syllable of Hangul."""
_JAMO = ((0x1161, 0x1175), (0x11A8, 0x11C2))
"""The vowels and final consonants of Hangul, which compose with what precedes them by a rule, not a table."""


class Step(Protocol):
    """One change of a text."""

    @property
    def changes_ascii(self) -> bool:
        """Whether it can change an ASCII text, which stays ASCII."""
        ...

    def __call__(self, text: str) -> str:
        """Return the text after the step. Any `str` is accepted, lone surrogates included."""
        ...

    def edits(self, text: str) -> Iterable[Edit]:
        """Say what the step replaces, in the order of the text; characters in between stay as they are."""
        ...


@dataclass(frozen=True)
class Substitution:
    """Replaces each match of a pattern by a fixed text."""

    pattern: Callable[[str], re.Pattern[str] | None]
    """The pattern for a text, without empty matches; None if the text has no match for certain."""
    replacement: str
    changes_ascii: bool = True

    def __call__(self, text: str) -> str:
        """Replace all matches; see `Step`."""
        pattern = self.pattern(text)
        return text if pattern is None else pattern.sub(self.replacement, text)

    def edits(self, text: str) -> Iterable[Edit]:
        """Give the matches; see `Step`."""
        pattern = self.pattern(text)
        length = len(self.replacement)
        matches = () if pattern is None else pattern.finditer(text)
        return ((match.start(), match.end(), length) for match in matches)


@dataclass(frozen=True)
class Normalization:
    """Changes a text that is not ASCII with a function that normalizes it.

    The function of a text must be the functions of its segments, joined. A segment begins where normalization
    never combines a character with what precedes it (UAX #15, section 9.1, "stable code points").
    """

    function: Callable[[str], str]
    drops_others: bool = False
    """Whether the function drops characters that no normal form changes."""
    changes_ascii: ClassVar[bool] = False

    def __call__(self, text: str) -> str:
        """Normalize; see `Step`."""
        return text if text.isascii() else self.function(text)

    def edits(self, text: str) -> Iterable[Edit]:
        """Give the segments that change, unless one character becomes one; see `Step`."""
        for match in self._segments.finditer(text):
            changed = self.function(match.group())
            if changed != match.group():
                yield *match.span(), len(changed)

    @functools.cached_property
    def _segments(self) -> re.Pattern[str]:
        """Match all segments that may change, except those of one character that becomes one."""
        alone = "[^\\x00-\\x7f]"
        if not self.drops_others:
            changing = sorted(code for code in _unstable() if len(self.function(chr(code))) != 1)
            alone = f"[{_as_class(changing)}]"
        return re.compile(f"(?s:.)[{_as_class(sorted(_combining()))}]+|{alone}")


class LowerCase:
    """Turns a text into lower case."""

    changes_ascii = True

    def __call__(self, text: str) -> str:
        """Return the text in lower case; see `Step`."""
        return text.lower()

    def edits(self, text: str) -> Iterable[Edit]:
        """Give the characters that become several; see `Step`.

        The lower case of a sigma depends on its neighbours, but it is always one character.
        """
        if len(text.lower()) == len(text):
            return ()
        several = {char: len(char.lower()) for char in set(text) if len(char.lower()) != 1}
        return [(place, place + 1, several[char]) for place, char in enumerate(text) if char in several]


class AsciiLowerCase:
    """Turns the letters A to Z into lower case, and no others."""

    changes_ascii = True

    def __call__(self, text: str) -> str:
        """Return the text in lower case; see `Step`."""
        return text.lower() if text.isascii() else text.translate(_ASCII_LOWER)

    def edits(self, text: str) -> Iterable[Edit]:  # noqa: ARG002 - the method of a protocol
        """No character becomes several; see `Step`."""
        return ()


class PaddedWords:
    """Puts a space before and after each word, where words are separated by white space.

    So two words have two spaces between them, which no single word has.
    """

    changes_ascii = True

    def __call__(self, text: str) -> str:
        """Return the words with their spaces; see `Step`."""
        words = text.split()
        return f" {'  '.join(words)} " if words else ""

    def edits(self, text: str) -> Iterable[Edit]:
        """Give the white space, and the first and last character of the text; see `Step`.

        A space that is added to the beginning or end of the text has the place of the character next to it.
        """
        length = len(text)
        if not text.strip():
            return [(0, length, 0)] if text else []
        if length == 1:
            return [(0, 1, 3)]
        spans = [match.span() for match in _SPACES.finditer(text)]
        spaces = [(start, end, 1 if start == 0 or end == length else 2) for start, end in spans]
        first = [] if text[0].isspace() else [(0, 1, 2)]
        last = [] if text[-1].isspace() else [(length - 1, length, 2)]
        return [*first, *spaces, *last]


@dataclass(frozen=True, slots=True)
class Origins:
    """Where the n characters of a cleaned text come from."""

    starts: NDArray[np.int64]
    """The start of each character's part of the client's text (n), and the length of that text."""
    ends: NDArray[np.int64]
    """The end of each part (n), and the length of that text."""

    @classmethod
    def unchanged(cls, length: int) -> "Origins":
        """The origins in a text of this length that is its own cleaned text."""
        characters = np.arange(length + 2)
        ends = characters[1:].copy()
        ends[-1] = length
        return cls(characters[:-1], ends)

    def after(self, edits: Iterable[Edit]) -> "Origins":
        """The origins after one more step, which made these edits."""
        # A flat iterator is read several times as fast as tuples are.
        numbers = np.fromiter(chain.from_iterable(edits), np.int64)
        if not numbers.size:
            return self
        begins, stops, lengths = numbers.reshape(-1, 3).T
        change = np.zeros(len(self.starts), np.int64)
        change[begins] += 1
        change[stops] -= 1
        copies = 1 - change.cumsum()
        copies[begins] = lengths
        ends = self.ends.copy()
        ends[begins] = self.ends[stops - 1]
        return Origins(self.starts.repeat(copies), ends.repeat(copies))

    def places(self, spans: NDArray[np.int64]) -> NDArray[np.int64]:
        """The parts of the client's text (n, 2) that spans (n, 2) of the cleaned text come from."""
        places = np.empty_like(spans)
        places[:, 0] = self.starts[spans[:, 0]]
        places[:, 1] = self.ends[spans[:, 1] - 1]
        np.copyto(places[:, 1], places[:, 0], where=spans[:, 0] == spans[:, 1])
        return places


class Cleaning:
    """Applies steps in their order."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self._steps = tuple(steps)
        self._ascii_steps = tuple(step for step in steps if step.changes_ascii)

    def __call__(self, text: str) -> str:
        """Return the cleaned text."""
        for step in self._ascii_steps if text.isascii() else self._steps:
            text = step(text)
        return text

    def with_origins(self, text: str) -> tuple[str, Origins]:
        """Return the cleaned text and where its characters come from."""
        origins = Origins.unchanged(len(text))
        for step in self._ascii_steps if text.isascii() else self._steps:
            changed = step(text)
            if changed != text:
                origins = origins.after(step.edits(text))
                text = changed
        return text, origins


def normalization(form: Literal["NFC"]) -> Step:
    """Bring a text into a normal form of Unicode."""
    return Normalization(functools.partial(unicodedata.normalize, form))


def _to_ascii(text: str) -> str:
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode("ascii")


def _without_marks(text: str) -> str:
    return "".join(filterfalse(unicodedata.combining, unicodedata.normalize("NFKD", text)))


@functools.cache
def _members(category: Literal["M", "N"]) -> str:
    """Return all marks or all numbers of the first two planes, as the inside of a character class.

    `re` has no name for them.
    """
    return _as_class(code for code in range(0x20000) if unicodedata.category(chr(code))[0] == category)


def _as_class(codes: Iterable[int]) -> str:
    """Return ascending code points as the inside of a character class."""
    ranges: list[list[int]] = []
    for code in codes:
        if ranges and ranges[-1][1] == code - 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return "".join(f"{chr(first)}-{chr(last)}" for first, last in ranges)


@functools.cache
def _mark_overrun() -> re.Pattern[str]:
    marks = _members("M")
    return re.compile(f"(?<=[{marks}]{{{_MAX_MARKS}}})[{marks}]+")


@functools.cache
def _not_letters() -> re.Pattern[str]:
    # \w has all numbers, but \d has only the decimal digits.
    return re.compile(f"(?:(?![{_members('M')}])[\\W_{_members('N')}])+")


@functools.cache
def _unstable() -> frozenset[int]:
    """Return all characters that have a decomposition or a combining class."""
    # No other plane has such a character. `unicodedata` knows the decompositions of Hangul only as a rule.
    planes = map(chr, range(0x30000))
    found = {ord(char) for char in planes if unicodedata.decomposition(char) or unicodedata.combining(char)}
    return frozenset(found).union(range(_HANGUL[0], _HANGUL[1] + 1))


@functools.cache
def _combining() -> frozenset[int]:
    """Return all characters that may combine with what precedes them.

    They, or the first character of their decomposition, have a combining class, are the second part of a
    composition, or are a vowel or final consonant of Hangul.
    """
    mappings = [unicodedata.decomposition(chr(code)) for code in _unstable()]
    pairs = [mapping.split() for mapping in mappings if not mapping.startswith("<")]
    combining = {int(pair[1], 16) for pair in pairs if len(pair) == 2}
    combining.update(code for first, last in _JAMO for code in range(first, last + 1))
    combining.update(code for code in _unstable() if unicodedata.combining(chr(code)))
    combining.update(
        code for code in _unstable() if ord(unicodedata.normalize("NFKD", chr(code))[0]) in combining
    )
    return frozenset(combining)


NFC: Step = normalization("NFC")
MARKS_BOUND: Step = Substitution(
    lambda text: _mark_overrun() if _LONG_RUN.search(text) else None, "", changes_ascii=False
)
TAGS_REMOVED: Step = Substitution(lambda text: _TAG if "<" in text else None, " ")
LOWER_CASE: Step = LowerCase()
ASCII_LOWER_CASE: Step = AsciiLowerCase()
PUNCTUATION_REMOVED: Step = Substitution(lambda _: _PUNCTUATION, "")
ACCENTS_REMOVED: dict[Literal["ascii", "unicode"], Step] = {
    "ascii": Normalization(_to_ascii, drops_others=True),
    "unicode": Normalization(_without_marks),
}
ONLY_LETTERS: tuple[Step, ...] = (
    Substitution(lambda _: _URL, " "),
    Substitution(lambda _: _EMAIL, " "),
    Substitution(lambda text: _ASCII_NOT_LETTERS if text.isascii() else _not_letters(), " "),
)
WORDS_PADDED: Step = PaddedWords()
SPACES_COLLAPSED: Step = Substitution(lambda _: _SEVERAL_SPACES, " ")
