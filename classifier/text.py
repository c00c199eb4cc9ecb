"""Turn a text into the ids that a model reads: clean it, split it into tokens, and look up their ids."""

import functools
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import filterfalse, repeat
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, field_validator

from classifier.token_pattern import UnboundedPattern, check_token_pattern
from classifier.validation import shortened

WORDS = r"\w+"
"""Tokens are runs of letters, digits and underscores."""
MAX_SHOWN_CHARACTERS = 200
"""Most characters of a pattern that an error message repeats."""

_TAG = re.compile(r"<(?:/?[A-Za-z]|!)[^<>]*>")
_URL = re.compile(r"(?:https?://|www\.)\S+", re.IGNORECASE)
# For ASCII texts this does the same as `_not_letters`, many times as fast.
_ASCII_NOT_LETTERS = re.compile(r"[^A-Za-z]+")
_EMAIL = re.compile(r"(?<!\S)[^\s@]++@\S+")
# A pattern of this shape matches maximal runs of one class of characters. A run has at least two characters
# if the class is written twice. The first character inside the brackets is always a member, even "]".
_RUN_PATTERN = re.compile(
    r"(?:\(\?u\))?(?:(?:\\b)?(\\w)(\\w)?\+(?:\\b)?|(\[\^?+(?:\\.|[^\\])(?:\\.|[^\]\\])*+\])(\3)?\+)"
)
_MAX_MARKS = 30
"""Most combining marks in a row that are kept, as in Unicode's stream-safe text format (UAX #15, D3). The
time of normalization grows with the square of their number."""
# Long runs of non-ASCII characters are rare, and looking for one is much faster than looking for marks.
_LONG_RUN = re.compile(rf"[^\x00-\x7f]{{{_MAX_MARKS + 1}}}")


class TextSettings(BaseModel):
    """How a text becomes tokens. It is part of the artifact, so that serving cleans texts as training did.

    The steps run in the order of the fields.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    normalize: Literal["NFC"] | None = "NFC"
    strip_html: bool = True
    lowercase: bool = True
    strip_accents: Literal["ascii", "unicode"] | None = None
    remove_special_chars: bool = False
    """Drop URLs and e-mail addresses, then everything except letters and their marks."""
    token_pattern: str = Field(default=WORDS, max_length=10_000)
    """A regular expression; each match is a token. `classifier.token_pattern` says which are accepted."""
    stopwords: tuple[str, ...] = ()
    """Tokens to drop."""
    unknown: Literal["keep", "drop"] = "keep"
    """Whether a token outside the vocabulary keeps its place between its neighbours or is dropped."""
    max_tokens: int = Field(ge=1)
    """Most tokens that are read. The rest of the text is cut, and the answer says so."""
    keep: Literal["first", "last"] = "first"
    """Which tokens of a text that is too long are read."""

    @field_validator("token_pattern")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        shown = repr(shortened(pattern, MAX_SHOWN_CHARACTERS))
        try:
            groups = re.compile(pattern).groups
        except (re.error, OverflowError, RecursionError) as error:
            raise ValueError(f"token_pattern {shown} is not a regular expression: {error}") from error
        if groups:
            raise ValueError(f"token_pattern {shown} has a capturing group; a token is the whole match")
        try:
            check_token_pattern(pattern)
        except UnboundedPattern as error:
            raise ValueError(f"token_pattern {shown} {error}") from error
        return pattern


@dataclass(frozen=True, slots=True)
class Encoded:
    """A batch of n texts as ids.

    `ids` holds the texts one after the other, with the separator id after each; `ends` (n) is where the
    separators are. An id below the size of the vocabulary is the index of a token.
    """

    ids: NDArray[np.int64]
    ends: NDArray[np.int64]
    known: NDArray[np.int64]
    """How many tokens of each text (n) were read and are in the vocabulary."""
    unknown: NDArray[np.int64]
    """How many tokens of each text (n) were not cut and are not in the vocabulary."""
    cut: NDArray[np.bool_]
    """Which texts (n) had more than `max_tokens` tokens."""


@functools.cache
def _members(category: Literal["M", "N"]) -> str:
    """Return all marks or all numbers of the first two planes, as the inside of a character class.

    `re` has no name for them.
    """
    ranges: list[list[int]] = []
    for code in range(0x20000):
        if unicodedata.category(chr(code))[0] == category:
            if ranges and ranges[-1][1] == code - 1:
                ranges[-1][1] = code
            else:
                ranges.append([code, code])
    return "".join(f"{chr(first)}-{chr(last)}" for first, last in ranges)


@functools.cache
def _mark_overrun() -> re.Pattern[str]:
    marks = _members("M")
    return re.compile(f"([{marks}]{{{_MAX_MARKS}}})[{marks}]+")


@functools.cache
def _not_letters() -> re.Pattern[str]:
    # \w has all numbers, but \d has only the decimal digits.
    return re.compile(f"(?:(?![{_members('M')}])[\\W_{_members('N')}])+")


def clean(text: str, settings: TextSettings) -> str:
    """Apply all steps before tokenization. Any `str` is accepted, lone surrogates included."""
    if not text.isascii():
        if (settings.normalize or settings.strip_accents) and _LONG_RUN.search(text):
            text = _mark_overrun().sub(r"\1", text)
        if settings.normalize is not None:
            text = unicodedata.normalize(settings.normalize, text)
    if settings.strip_html and "<" in text:
        text = _TAG.sub(" ", text)
    if settings.lowercase:
        text = text.lower()
    if settings.strip_accents is not None and not text.isascii():
        text = unicodedata.normalize("NFKD", text)
        if settings.strip_accents == "ascii":
            text = text.encode("ascii", "ignore").decode("ascii")
        else:
            text = "".join(filterfalse(unicodedata.combining, text))
    if settings.remove_special_chars:
        text = _EMAIL.sub(" ", _URL.sub(" ", text))
        text = (_ASCII_NOT_LETTERS if text.isascii() else _not_letters()).sub(" ", text)
    return text


def _ascii_runs(pattern: str) -> tuple[str, int] | None:
    """Return a table for `str.translate` that turns ASCII characters outside tokens into spaces.

    The second value is the length of the shortest token. Returns None for a pattern that does more than match
    runs of one class of characters.
    """
    shape = _RUN_PATTERN.fullmatch(pattern)
    if shape is None:
        return None
    word, word_again, bracket, bracket_again = shape.groups()
    member = re.compile(word or bracket).fullmatch
    if any(member(char) for char in " \t\n\v\f\r\x1c\x1d\x1e\x1f"):
        return None  # `str.split` would split such a run
    table = "".join(chr(code) if member(chr(code)) else " " for code in range(128))
    return table, 2 if word_again or bracket_again else 1


class Tokenizer:
    """Turns texts into tokens, and tokens into the ids of a vocabulary.

    An ASCII text is split by a character table and `str.split`, which finds the tokens of `token_pattern`
    three times as fast as the regular expression does.
    """

    def __init__(self, settings: TextSettings, vocabulary: Sequence[str | None] = ()) -> None:
        """Make a tokenizer; `vocabulary[i]` is the token with id i, or None for an id that no token has."""
        self.settings = settings
        self.unknown_id = len(vocabulary)
        self.separator_id = self.unknown_id + 1
        self._dropped_id = self.unknown_id + 2
        self.id_count = self.unknown_id + 3
        self._find_all = re.compile(settings.token_pattern).findall
        self._stopwords = frozenset(settings.stopwords)
        runs = _ascii_runs(settings.token_pattern)
        self._table = runs[0] if runs else None
        short = {char for char in runs[0] if char != " "} if runs and runs[1] == 2 else set()
        self._dropped = self._stopwords | short
        self._ids = {token: i for i, token in enumerate(vocabulary) if token is not None}
        self._ids |= dict.fromkeys(self._dropped, self._dropped_id)
        self._drops = bool(self._dropped) or settings.unknown == "drop"

    def tokens(self, text: str) -> list[str]:
        """Return all tokens of a text except stop words, without a limit; for making a vocabulary."""
        tokens = self._split(text)
        return [token for token in tokens if token not in self._dropped] if self._dropped else tokens

    def _split(self, text: str) -> list[str]:
        text = clean(text, self.settings)
        if self._table is not None and text.isascii():
            return text.translate(self._table).split()
        return self._find_all(text)

    def _kept_places(self, tokens: Sequence[str]) -> Sequence[int]:
        """Return the places of the tokens that count towards `max_tokens`."""
        if not self._drops:
            return range(len(tokens))
        dropped = {self._dropped_id} | ({self.unknown_id} if self.settings.unknown == "drop" else set())
        return [i for i, token in enumerate(tokens) if self._ids.get(token, self.unknown_id) not in dropped]

    def encode(self, texts: Sequence[str]) -> Encoded:
        """Encode n texts; a text may have no tokens."""
        limit = self.settings.max_tokens
        tokens: list[str] = []
        ends = np.empty(len(texts), np.int64)
        cut = np.zeros(len(texts), bool)
        for row, text in enumerate(texts):
            read = self._split(text)
            if len(read) > limit:
                kept = self._kept_places(read)
                if len(kept) > limit:
                    cut[row] = True
                    read = (
                        read[: kept[limit - 1] + 1] if self.settings.keep == "first" else read[kept[-limit] :]
                    )
            tokens += read
            ends[row] = len(tokens)
            tokens.append("")
        ids = np.fromiter(map(self._ids.get, tokens, repeat(self.unknown_id)), np.int64, len(tokens))
        ids[ends] = self.separator_id
        unknown = self._count_by_text(ids == self.unknown_id, ends)
        if self._drops:
            keep = ids != self._dropped_id
            if self.settings.unknown == "drop":
                keep &= ids != self.unknown_id
            ids = ids[keep]
            ends = np.flatnonzero(ids == self.separator_id)
        known = np.diff(ends, prepend=-1) - 1
        if self.settings.unknown == "keep":
            known -= unknown
        return Encoded(ids, ends, known, unknown, cut)

    @staticmethod
    def _count_by_text(mask: NDArray[np.bool_], ends: NDArray[np.int64]) -> NDArray[np.int64]:
        counts: NDArray[np.int64] = mask.cumsum(dtype=np.int64)[ends]
        counts[1:] -= counts[:-1].copy()
        return counts
