"""From a text to what the model eats: cleaning, tokens, ids. Training and serving both come through here."""

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

WORDS = r"\w+"
"""Tokens are runs of letters, digits and underscores."""
SHOWN_CHARACTERS = 200
"""Of a pattern in an error message."""

_TAG = re.compile(r"<(?:/?[A-Za-z]|!)[^<>]*>")
_URL = re.compile(r"(?:https?://|www\.)\S+", re.IGNORECASE)
_EMAIL = re.compile(r"(?<!\S)[^\s@]++@\S+")
# A pattern of this shape matches maximal runs of one class of characters, of two characters or more where the
# class stands twice. What stands first in a class is a member, "]" too.
_RUN_PATTERN = re.compile(
    r"(?:\(\?u\))?(?:(?:\\b)?(\\w)(\\w)?\+(?:\\b)?|(\[\^?+(?:\\.|[^\\])(?:\\.|[^\]\\])*+\])(\3)?\+)"
)
_MARKS_KEPT = 30
"""The longest run of combining marks that is kept, as in Unicode's stream-safe text format (UAX #15, D3):
without a bound, normalization takes time in the square of the run."""
# Seldom there, and much faster to look for than a run of marks.
_LONG_RUN = re.compile(rf"[^\x00-\x7f]{{{_MARKS_KEPT + 1}}}")


class TextSettings(BaseModel):
    """How a text becomes tokens. It is part of the artifact, so that serving cleans as training did.

    The steps run in the order of the fields.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    normalize: Literal["NFC"] | None = "NFC"
    strip_html: bool = True
    lowercase: bool = True
    strip_accents: Literal["ascii", "unicode"] | None = None
    remove_special_chars: bool = False
    """Drop URLs and e-mail addresses, then everything but letters and their marks."""
    token_pattern: str = Field(default=WORDS, max_length=10_000)
    """Regular expression; each match is a token. `classifier.token_pattern` says which are refused."""
    stopwords: tuple[str, ...] = ()
    """Tokens to drop."""
    unknown: Literal["keep", "drop"] = "keep"
    """Whether a token outside the vocabulary keeps its place between its neighbours."""
    max_tokens: int = Field(ge=1)
    """Tokens that are read; what comes after is cut, and the answer says so."""
    keep: Literal["first", "last"] = "first"
    """Which tokens of too long a text are read."""

    @field_validator("token_pattern")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        shown = repr(pattern if len(pattern) <= SHOWN_CHARACTERS else pattern[:SHOWN_CHARACTERS] + "…")
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

    `ids` holds the texts one after the other, each closed by the separator id; `ends` (n) is where the
    separators stand. An id below the vocabulary's size is a token's index.
    """

    ids: NDArray[np.int64]
    ends: NDArray[np.int64]
    known: NDArray[np.int64]
    """How many of the tokens that were read of each text (n) the vocabulary has."""
    unknown: NDArray[np.int64]
    """How many of the tokens that were read of each text (n) the vocabulary lacks."""
    cut: NDArray[np.bool_]
    """Which texts (n) had more than `max_tokens` tokens."""


@functools.cache
def _members(category: Literal["M", "N"]) -> str:
    """Marks or numbers as the inside of a character class, which `re` has no name for; two planes."""
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
    return re.compile(f"([{marks}]{{{_MARKS_KEPT}}})[{marks}]+")


@functools.cache
def _not_letters() -> re.Pattern[str]:
    # \w holds all numbers, and \d only the decimal digits among them.
    return re.compile(f"(?:(?![{_members('M')}])[\\W_{_members('N')}])+")


def clean(text: str, settings: TextSettings) -> str:
    """Apply every step before tokenization. Any `str` is fine, lone surrogates included."""
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
        text = _not_letters().sub(" ", _EMAIL.sub(" ", _URL.sub(" ", text)))
    return text


def _ascii_runs(pattern: str) -> tuple[str, int] | None:
    """A table for `str.translate` that turns ASCII characters outside of tokens into spaces, and the shortest
    token's length; None for a pattern that does not just match runs of one class of characters."""
    shape = _RUN_PATTERN.fullmatch(pattern)
    if shape is None:
        return None
    word, word_again, bracket, bracket_again = shape.groups()
    member = re.compile(word or bracket).fullmatch
    if any(member(char) for char in " \t\n\v\f\r\x1c\x1d\x1e\x1f"):
        return None  # str.split would cut inside a run
    table = "".join(chr(code) if member(chr(code)) else " " for code in range(128))
    return table, 2 if word_again or bracket_again else 1


class Tokenizer:
    """Texts to tokens, and tokens to ids of a vocabulary.

    ASCII texts, nearly all of them, are split by a character table and `str.split`, which gives the tokens of
    `token_pattern` three times as fast as the regular expression.
    """

    def __init__(self, settings: TextSettings, vocabulary: Sequence[str | None] = ()) -> None:
        """`vocabulary[i]` is the token with id i; None is an id that no text can have."""
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
        """All tokens of a text that are no stop words, however many there are; for making a vocabulary."""
        tokens = self._split(text)
        return [token for token in tokens if token not in self._dropped] if self._dropped else tokens

    def _split(self, text: str) -> list[str]:
        text = clean(text, self.settings)
        if self._table is not None and text.isascii():
            return text.translate(self._table).split()
        return self._find_all(text)

    def _kept_places(self, tokens: Sequence[str]) -> Sequence[int]:
        """Where the tokens stand that count against `max_tokens`."""
        if not self._drops:
            return range(len(tokens))
        dropped = {self._dropped_id} | ({self.unknown_id} if self.settings.unknown == "drop" else set())
        return [i for i, token in enumerate(tokens) if self._ids.get(token, self.unknown_id) not in dropped]

    def encode(self, texts: Sequence[str]) -> Encoded:
        """Encode n texts; a text without any token is fine."""
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
