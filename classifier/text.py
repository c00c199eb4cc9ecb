"""Turn a text into the ids that a model reads: clean it, split it into tokens, and look up their ids."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain, islice, repeat
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from classifier.cleaning import (
    ACCENTS_REMOVED,
    ASCII_LOWER_CASE,
    LOWER_CASE,
    MARKS_BOUND,
    NFC,
    ONLY_LETTERS,
    PUNCTUATION_REMOVED,
    SPACES_COLLAPSED,
    TAGS_REMOVED,
    WORDS_PADDED,
    Cleaning,
    Step,
)
from classifier.errors import ArtifactError
from classifier.negation import MARK, NegatedIds, NegationSettings, in_scope
from classifier.token_pattern import UnboundedPattern, check_token_pattern
from classifier.validation import shortened

WORDS = r"\w+"
"""Tokens are runs of letters, digits and underscores."""
MAX_SHOWN_CHARACTERS = 200
"""Most characters of a pattern that an error message repeats."""

# A pattern of this shape matches maximal runs of one class of characters. A run has at least two characters
# if the class is written twice. The first character inside the brackets is always a member, even "]".
_RUN_PATTERN = re.compile(
    r"(?:\(\?u\))?(?:(?:\\b)?(\\w)(\\w)?\+(?:\\b)?|(\[\^?+(?:\\.|[^\\])(?:\\.|[^\]\\])*+\])(\3)?\+)"
)


class TextSettings(BaseModel):
    """How a text becomes tokens. It is part of the artifact, so that serving cleans texts as training did.

    The steps run in the order of the fields.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    normalize: Literal["NFC"] | None = "NFC"
    strip_html: bool = True
    lowercase: bool | Literal["ascii"] = True
    """"ascii" turns only A to Z into lower case, as TensorFlow does."""
    strip_accents: Literal["ascii", "unicode"] | None = None
    remove_special_chars: bool = False
    """Drop URLs and e-mail addresses, then everything except letters and their marks."""
    remove_punctuation: bool = Field(default=False, exclude_if=lambda removes: not removes)
    """Drop ASCII punctuation, so that "don't" becomes "dont". The manifest leaves out `False`."""
    units: Literal["words", "characters", "characters_in_words"] = Field(
        default="words", exclude_if=lambda units: units == "words"
    )
    """What tokens are: the matches of `token_pattern`, or single characters. "characters" collapses several
    white spaces into one space. "characters_in_words" puts a space before and after each word, so that no
    n-gram with characters of two words is in a vocabulary. The manifest leaves out "words"."""
    token_pattern: str = Field(default=WORDS, max_length=10_000)
    """A regular expression; each match is a token. `classifier.token_pattern` says which are accepted."""
    negation: NegationSettings | None = None
    """Which tokens negate those after them. A negated token is a token of its own: "good" becomes "¬good"."""
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

    @model_validator(mode="after")
    def _characters_are_all_tokens(self) -> Self:
        if self.units != "words" and (self.token_pattern != WORDS or self.stopwords or self.negation):
            raise ValueError(
                f"units is {self.units!r}, so token_pattern, negation and stopwords, which are about words, "
                "must not be set"
            )
        return self

    @model_validator(mode="after")
    def _negation_has_words(self) -> Self:
        if self.negation is None:
            return self
        if self.token_pattern != WORDS:
            shown = repr(shortened(self.token_pattern, MAX_SHOWN_CHARACTERS))
            raise ValueError(f"negation needs the token_pattern {WORDS!r}; it is {shown}")
        if self.stopwords or self.unknown == "drop" or self.remove_special_chars:
            raise ValueError("negation counts all tokens, so none may be dropped by other settings")
        return self


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

    looked_up: dict[object, Any] = field(default_factory=dict, compare=False, repr=False)
    """What a runtime has looked up for the ids, so that it need not do so again to explain a score."""

    def bounds(self, row: int) -> tuple[int, int]:
        """Return where the ids of one text begin, and where its separator is."""
        return int(self.ends[row - 1]) + 1 if row else 0, int(self.ends[row])


def cleaning(settings: TextSettings) -> Cleaning:
    """Return all steps before tokenization, in the order of the settings."""
    steps: list[Step] = []
    if settings.normalize or settings.strip_accents:
        steps.append(MARKS_BOUND)
    if settings.normalize:
        steps.append(NFC)
    if settings.strip_html:
        steps.append(TAGS_REMOVED)
    if settings.lowercase:
        steps.append(ASCII_LOWER_CASE if settings.lowercase == "ascii" else LOWER_CASE)
    if settings.strip_accents:
        steps.append(ACCENTS_REMOVED[settings.strip_accents])
    if settings.remove_special_chars:
        steps.extend(ONLY_LETTERS)
    if settings.remove_punctuation:
        steps.append(PUNCTUATION_REMOVED)
    if settings.units == "characters":
        steps.append(SPACES_COLLAPSED)
    elif settings.units == "characters_in_words":
        steps.append(WORDS_PADDED)
    return Cleaning(steps)


def clean(text: str, settings: TextSettings) -> str:
    """Apply all steps before tokenization. Any `str` is accepted, lone surrogates included."""
    return cleaning(settings)(text)


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


def _keeping(table: str, characters: Sequence[str]) -> str:
    """Return a table for `str.translate` that leaves these ASCII characters as they are."""
    kept = {ord(character): character for character in characters}
    return "".join(kept.get(code, character) for code, character in enumerate(table))


def _marked(tokens: Sequence[str], negation: NegationSettings) -> list[str]:
    """Return tokens with marks at the negated ones, without the ends of scopes."""
    n, words, ends = len(tokens), frozenset(negation.words), frozenset(negation.ends)
    is_end = np.fromiter(map(ends.__contains__, tokens), bool, n)
    scope = in_scope(np.fromiter(map(words.__contains__, tokens), bool, n), is_end, negation.tokens)
    return [
        MARK + token if negated else token
        for token, negated, end in zip(tokens, scope.tolist(), is_end.tolist(), strict=True)
        if not end
    ]


class Tokenizer:
    """Turns texts into tokens, and tokens into the ids of a vocabulary.

    An ASCII text is split by a character table and `str.split`, which finds the tokens of `token_pattern`
    three times as fast as the regular expression does.
    """

    def __init__(self, settings: TextSettings, vocabulary: Sequence[str | None] = ()) -> None:
        """Make a tokenizer; `vocabulary[i]` is the token with id i, or None for an id that no token has.

        Raises ArtifactError if a token has two ids.
        """
        self.settings = settings
        self._clean = cleaning(settings)
        self.unknown_id = len(vocabulary)
        self.separator_id = self.unknown_id + 1
        self._dropped_id = self.unknown_id + 2
        self.id_count = self.unknown_id + 3
        negation = settings.negation
        self._ends = negation.ends if negation else ()
        ends = "".join(map(re.escape, self._ends))
        pattern = settings.token_pattern
        self._find_words = re.compile(pattern).finditer
        self._find_all = re.compile(f"{pattern}|[{ends}]" if ends else pattern).findall
        self._stopwords = frozenset(settings.stopwords)
        self._are_characters = settings.units != "words"
        runs = None if self._are_characters else _ascii_runs(pattern)
        self._table = _keeping(runs[0], self._ends) if runs else None
        self._is_inside = bytes(char != " " for char in runs[0].ljust(256)) if runs else None
        short = {char for char in runs[0] if char != " "} if runs and runs[1] == 2 else set()
        self._dropped = self._stopwords | short
        self._ids = {token: i for i, token in enumerate(vocabulary) if token is not None}
        if len(self._ids) + sum(token is None for token in vocabulary) != len(vocabulary):
            raise ArtifactError("vocabulary.json has a token twice")
        self._ids |= dict.fromkeys(self._dropped, self._dropped_id)
        self._negated = None
        if negation is not None:
            self._negated = NegatedIds(negation, self._ids, self.unknown_id, self._dropped_id)
            self._ids = self._negated.ids
        self._drops_tokens = bool(self._dropped) or settings.unknown == "drop"
        self._drops = self._drops_tokens or bool(self._ends)

    def tokens(self, text: str) -> list[str]:
        """Return all tokens of a text except stop words, without a limit; for making a vocabulary."""
        tokens = self._split(text)
        if self.settings.negation is not None:
            return _marked(tokens, self.settings.negation)
        return [token for token in tokens if token not in self._dropped] if self._dropped else tokens

    def _split(self, text: str) -> list[str]:
        return self._tokens_of(self._clean(text))

    def _tokens_of(self, cleaned: str) -> list[str]:
        if self._are_characters:
            return list(cleaned)
        if self._table is not None and cleaned.isascii():
            for end in self._ends:
                cleaned = cleaned.replace(end, f" {end} ")
            return cleaned.translate(self._table).split()
        return self._find_all(cleaned)

    def _spans_of(self, cleaned: str) -> NDArray[np.int64]:
        """Return the start and the end of each token of a cleaned text but ends of scopes, shape (n, 2).

        Those after the first `max_tokens` may be missing if they are not read.
        """
        if self._are_characters:
            characters = np.arange(len(cleaned))
            return np.stack([characters, characters + 1], axis=1)
        if self._is_inside is None or not cleaned.isascii():
            matches = self._find_words(cleaned)
            if self.settings.keep == "first" and not self._drops_tokens:
                matches = islice(matches, self.settings.max_tokens)
            spans = [match.span() for match in matches]
            return np.fromiter(chain.from_iterable(spans), np.int64, 2 * len(spans)).reshape(-1, 2)
        inside = np.frombuffer(f" {cleaned} ".encode().translate(self._is_inside), np.bool_)
        edges: NDArray[np.int64] = (inside[1:] != inside[:-1]).nonzero()[0]
        return edges.reshape(-1, 2)

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
            kept = self._kept_places(read) if len(read) > limit else ()
            if len(kept) > limit:
                cut[row] = True
                is_first = self.settings.keep == "first"
                tokens += read[: kept[limit - 1] + 1] if is_first else read[kept[-limit] :]
            else:
                tokens += read
            ends[row] = len(tokens)
            tokens.append("")
        ids = np.fromiter(map(self._ids.get, tokens, repeat(self.unknown_id)), np.int64, len(tokens))
        ids[ends] = self.separator_id
        if self._negated is not None:
            ids = self._negated(ids, (ids == self._dropped_id) | (ids == self.separator_id))
        unknown = self._count_by_text(ids == self.unknown_id, ends)
        if self._drops:
            keep = ids != self._dropped_id
            if self.settings.unknown == "drop":
                keep &= ids != self.unknown_id
            ids = ids[keep]
            ends = (ids == self.separator_id).nonzero()[0]
        known = ends.copy()
        known[1:] -= ends[:-1] + 1
        if self.settings.unknown == "keep":
            known -= unknown
        return Encoded(ids, ends, known, unknown, cut)

    def places(self, text: str) -> NDArray[np.int64]:
        """Return the start and the end of each token of a text that has an id, shape (n, 2).

        They count characters of the text as it is before cleaning. If cleaning made several tokens from
        characters that cannot be told apart, all have the place of these characters.
        """
        cleaned, origins = self._clean.with_origins(text)
        spans = self._spans_of(cleaned)
        if self._drops_tokens:
            spans = spans[np.array(self._kept_places(self._tokens_of(cleaned)), np.intp)]
        limit = self.settings.max_tokens
        spans = spans[:limit] if self.settings.keep == "first" else spans[-limit:]
        return origins.places(spans)

    @staticmethod
    def _count_by_text(mask: NDArray[np.bool_], ends: NDArray[np.int64]) -> NDArray[np.int64]:
        counts: NDArray[np.int64] = mask.nonzero()[0].searchsorted(ends)
        counts[1:] -= counts[:-1].copy()
        return counts
