"""Tokens that are characters: the n-grams of them are those that scikit-learn counts."""

from collections import Counter
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from sklearn.feature_extraction.text import CountVectorizer

from classifier.text import TextSettings, Tokenizer, clean, cleaning

Units = Literal["characters", "characters_in_words"]
ANALYZERS: dict[Units, str] = {"characters": "char", "characters_in_words": "char_wb"}
EVERY_UNIT = pytest.mark.parametrize("units", ANALYZERS)
texts = st.text(st.one_of(st.characters(), st.sampled_from("ab é\t\n \x1c\u00a0İß")), max_size=30)


def settings(units: Units, **changes: object) -> TextSettings:
    plain = {"normalize": None, "strip_html": False, "max_tokens": 1000}
    return TextSettings(**{**plain, "units": units, **changes})  # type: ignore[arg-type]


@EVERY_UNIT
@given(text=texts, length=st.integers(1, 4))
def test_n_grams_of_one_length_are_those_of_scikit_learn(units: Units, text: str, length: int) -> None:
    tokens = Tokenizer(settings(units)).tokens(text)
    ngrams = ["".join(tokens[place : place + length]) for place in range(len(tokens) - length + 1)]
    if units == "characters_in_words":
        ngrams = [ngram for ngram in ngrams if "  " not in ngram]
    expected = CountVectorizer(analyzer=ANALYZERS[units], ngram_range=(length, length)).build_analyzer()(text)
    is_long = [ngram for ngram in expected if len(ngram) == length]  # Without words that are too short.
    assert Counter(ngrams) == Counter(is_long)


@EVERY_UNIT
@given(text=texts)
def test_there_is_one_place_for_each_character(units: Units, text: str) -> None:
    tokenizer = Tokenizer(settings(units))
    places = tokenizer.places(text)
    assert len(places) == len(tokenizer.tokens(text))
    assert (np.diff(places[:, 0]) >= 0).all()
    assert ((places >= 0) & (places <= len(text))).all()


@EVERY_UNIT
@given(text=texts, lowercase=st.booleans())
def test_cleaning_with_origins_gives_the_cleaned_text(units: Units, text: str, lowercase: bool) -> None:
    chosen = settings(units, lowercase=lowercase, strip_html=True, strip_accents="unicode")
    assert cleaning(chosen).with_origins(text)[0] == clean(text, chosen)


@given(texts.filter(lambda text: text.islower()))
def test_the_place_of_a_character_is_where_it_is_in_the_text(text: str) -> None:
    tokenizer = Tokenizer(settings("characters_in_words", lowercase=False))
    for character, (start, end) in zip(tokenizer.tokens(text), tokenizer.places(text).tolist(), strict=True):
        assert character == " " or text[start:end] == character


def test_places_of_words_and_their_spaces() -> None:
    places = Tokenizer(settings("characters_in_words")).places(" ab\n c")
    assert places.tolist() == [[0, 1], [1, 2], [2, 3], [3, 5], [3, 5], [5, 6], [5, 6]]


def test_a_manifest_leaves_out_that_tokens_are_words() -> None:
    assert "units" not in TextSettings(max_tokens=9).model_dump()
    assert settings("characters").model_dump()["units"] == "characters"


@EVERY_UNIT
@pytest.mark.parametrize(
    "changes", [{"token_pattern": r"\S+"}, {"stopwords": ("the",)}, {"negation": {"words": ["not"]}}]
)
def test_settings_of_words_are_refused(units: Units, changes: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=r"units is .characters.*must not be set"):
        settings(units, **changes)
