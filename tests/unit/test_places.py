"""Where the characters and tokens of a cleaned text are in the client's own text."""

import functools
import itertools
import unicodedata
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifier.cleaning import Normalization
from classifier.negation import NegationSettings
from classifier.text import WORDS, TextSettings, Tokenizer, clean, cleaning

TRICKY = (
    "aA bB09_ -'.,!?<>/@:w \t\n\x00\x1c\u0301\u0316\u0345\u200d\u00a0\u2028\u20ddéßİΣςıſK²½Ⅷ你ا"
    "\ud800\U0001f600"
    "\u1100\u1161\u11a8\uac00\uac01\u09c7\u09be\u0f71\u0f73\u0f75\u0344\uff76\uff9e\u3099\u0958\u2126\ufb01\ufdfa"
    "\U000110ba\U00011099\U0001d15e\U0002f800"
)
texts = st.text(st.one_of(st.characters(), st.sampled_from(TRICKY)), max_size=40)
pieces = st.lists(
    st.sampled_from(
        [*TRICKY, "<br />", "<p>", "http://a.b/c ", "me@example.com ", "\u0301" * 31, "ΑΣ ", "the "]
    ),
    max_size=20,
).map("".join)
CLEANINGS = [
    {
        "normalize": normalize,
        "strip_html": strip_html,
        "lowercase": lowercase,
        "strip_accents": strip_accents,
        "remove_special_chars": only_letters,
    }
    for normalize, strip_html, lowercase, strip_accents, only_letters in itertools.product(
        ("NFC", None), (True, False), (True, False), (None, "ascii", "unicode"), (True, False)
    )
]
cleanings = st.sampled_from(CLEANINGS)


def settings(**changes: object) -> TextSettings:
    return TextSettings(**{"max_tokens": 1000, **changes})


@given(st.one_of(texts, pieces), cleanings)
def test_cleaning_with_origins_gives_the_cleaned_text(text: str, changes: dict[str, object]) -> None:
    cleaned, origins = cleaning(settings(**changes)).with_origins(text)
    assert cleaned == clean(text, settings(**changes))
    assert (len(origins.starts), len(origins.ends)) == (len(cleaned) + 1, len(cleaned) + 1)


@given(st.one_of(texts, pieces), cleanings)
def test_origins_ascend_within_the_text(text: str, changes: dict[str, object]) -> None:
    _, origins = cleaning(settings(**changes)).with_origins(text)
    assert (np.diff(origins.starts) >= 0).all()
    assert (np.diff(origins.ends) >= 0).all()
    assert (origins.starts[:-1] < origins.ends[:-1]).all()
    assert origins.starts[-1] == origins.ends[-1] == len(text)
    assert (origins.starts >= 0).all()
    assert (origins.ends <= len(text)).all()


def normalized_by_segments(text: str, form: Literal["NFC", "NFKD"]) -> str:
    """Normalize the segments of a text one by one."""
    normalize = functools.partial(unicodedata.normalize, form)
    joined, done = "", 0
    for start, end, length in Normalization(normalize).edits(text):
        part = normalize(text[start:end])
        assert len(part) == length
        joined += "".join(map(normalize, text[done:start])) + part
        done = end
    return joined + "".join(map(normalize, text[done:]))


@given(st.one_of(texts, pieces), st.sampled_from(["NFC", "NFKD"]))
def test_segments_normalized_one_by_one_are_the_normalized_text(
    text: str, form: Literal["NFC", "NFKD"]
) -> None:
    assert normalized_by_segments(text, form) == unicodedata.normalize(form, text)


@pytest.mark.parametrize("form", ["NFC", "NFKD"])
@pytest.mark.parametrize(
    "first", ["a", "\u1100", "\uac00", "\u09c7", "e\u0301", "\u0f71", "\u30ab", "\U00011099"], ids=ascii
)
def test_every_character_may_follow_one_that_composes(first: str, form: Literal["NFC", "NFKD"]) -> None:
    codes = range(0x30000)
    text = "".join(
        f"{first}{chr(code)}"
        for code in codes
        if code < 0x800
        or unicodedata.decomposition(chr(code))
        or unicodedata.combining(chr(code))
        or 0x1100 <= code < 0x1200
    )
    assert normalized_by_segments(text, form) == unicodedata.normalize(form, text)


NEGATED = [
    {"token_pattern": WORDS, "negation": negation, "remove_special_chars": False}
    for negation in (
        NegationSettings(),
        NegationSettings(ends=()),
        NegationSettings(words=("a",), ends=("!",)),
    )
]


def places_of(text: str, tokenizer: Tokenizer) -> list[tuple[int, int]]:
    return [(start, end) for start, end in tokenizer.places(text).tolist()]


def read_tokens(text: str, tokenizer: Tokenizer) -> list[int]:
    return tokenizer.encode([text]).ids[:-1].tolist()


@given(
    text=st.one_of(texts, pieces, st.text("aé bA!", max_size=30)),
    changes=cleanings,
    pattern=st.sampled_from([r"\w+", r"(?u)\b\w\w+\b", r"\w+|[!?]", r"[a-z ]+", r"\S+", r"\w*"]),
    keep=st.sampled_from(["first", "last"]),
    limit=st.sampled_from([1, 2, 5, 1000]),
    unknown=st.sampled_from(["keep", "drop"]),
    stopwords=st.sampled_from([(), ("a", "the")]),
)
def test_there_is_one_place_for_each_token_that_is_read(
    text: str, changes: dict[str, object], pattern: str, **more: object
) -> None:
    limit, keep = more.pop("limit"), more.pop("keep")
    chosen = settings(**changes, **more, token_pattern=pattern, keep=keep, max_tokens=limit)
    tokenizer = Tokenizer(chosen, ["a", "b", "the", "é", "bb", "!"])
    encoded, places = tokenizer.encode([text]), tokenizer.places(text)
    assert encoded.ids.tolist() == tokenizer.encode([text]).ids.tolist()
    assert places.shape == (len(encoded.ids) - 1, 2)
    assert (np.diff(places[:, 0]) >= 0).all()
    assert (places[:, 0] <= places[:, 1]).all()
    assert ((places >= 0) & (places <= len(text))).all()


@given(
    text=st.one_of(texts, pieces, st.text("aé bA!.not", max_size=30)),
    changes=cleanings,
    negated=st.sampled_from(NEGATED),
    keep=st.sampled_from(["first", "last"]),
    limit=st.sampled_from([1, 2, 5, 1000]),
)
def test_there_is_one_place_for_each_token_that_is_read_where_negated_tokens_are_marked(
    text: str, changes: dict[str, object], negated: dict[str, object], keep: str, limit: int
) -> None:
    chosen = settings(**{**changes, **negated}, keep=keep, max_tokens=limit)
    tokenizer = Tokenizer(chosen, ["a", "¬a", "not", "the", "¬b", "é", "¬é"])
    encoded, places = tokenizer.encode([text]), tokenizer.places(text)
    assert encoded.ids.tolist() == tokenizer.encode([text]).ids.tolist()
    plain = Tokenizer(chosen.model_copy(update={"negation": None}), ["a"])
    assert places.tolist() == plain.places(text).tolist()


@given(st.one_of(texts, pieces), st.sampled_from([r"\w+", r"\w+|[!?]", r"\S+"]))
def test_without_cleaning_the_places_of_tokens_are_the_tokens(text: str, pattern: str) -> None:
    off = settings(normalize=None, strip_html=False, lowercase=False, token_pattern=pattern)
    tokenizer = Tokenizer(off)
    assert [text[start:end] for start, end in tokenizer.places(text).tolist()] == tokenizer.tokens(text)


@given(
    st.lists(
        st.sampled_from(["Good", "BAD", "the", "xyz", "<br />", "cafe\u0301", "İÇ", "½", "ﬁlm"]), max_size=12
    )
)
def test_a_token_read_alone_from_its_place_has_the_same_id(words: list[str]) -> None:
    tokenizer = Tokenizer(settings(stopwords=("the",)), ["good", "bad", "café", "i̇ç", "½", "ﬁlm"])
    text = " ".join(words)
    alone = [read_tokens(text[start:end], tokenizer) for start, end in tokenizer.places(text).tolist()]
    assert [id_ for ids in alone for id_ in ids] == read_tokens(text, tokenizer)


@pytest.mark.parametrize(
    ("text", "changes", "parts"),
    [
        ("Good<br />film", {}, ["Good", "film"]),
        ("cafe\u0301, nice", {}, ["cafe\u0301", "nice"]),
        ("\u0438\u0306\u0438\u0306, и", {}, ["\u0438\u0306\u0438\u0306", "и"]),
        ("İSTANBUL good", {"token_pattern": r"[a-z]+"}, ["İ", "STANBUL", "good"]),
        ("naïve café", {"strip_accents": "ascii"}, ["naïve", "café"]),
        ("你é好", {"strip_accents": "ascii"}, ["é"]),
        ("½ cup", {"strip_accents": "unicode"}, ["½", "½", "cup"]),
        ("see http://a.b/c now", {"remove_special_chars": True}, ["see", "now"]),
        ("e" + "\u0316" * 40 + " b", {"token_pattern": r"\S+"}, ["e" + "\u0316" * 30, "b"]),
        ("the good film", {"stopwords": ("the",)}, ["good", "film"]),
        ("xyz good", {"unknown": "drop"}, ["good"]),
        ("good bad film", {"max_tokens": 2}, ["good", "bad"]),
        ("good bad film", {"max_tokens": 2, "keep": "last"}, ["bad", "film"]),
        ("Not good, bad.", {"negation": NegationSettings()}, ["Not", "good", "bad"]),
        ("not.good(film)", {"negation": NegationSettings()}, ["not", "good", "film"]),
        ("not,é(film)!", {"negation": NegationSettings()}, ["not", "é", "film"]),
        ("...!", {"negation": NegationSettings()}, []),
        ("good. bad! film", {"negation": NegationSettings(), "max_tokens": 2}, ["good", "bad"]),
        (
            "good. bad! film",
            {"negation": NegationSettings(), "max_tokens": 2, "keep": "last"},
            ["bad", "film"],
        ),
        ("", {}, []),
    ],
    ids=str,
)
def test_the_places_of_tokens_are_in_the_text_of_the_client(
    text: str, changes: dict[str, object], parts: list[str]
) -> None:
    tokenizer = Tokenizer(settings(**changes), ["good", "bad", "film"])
    found = [text[start:end] for start, end in places_of(text, tokenizer)]
    assert found == parts
