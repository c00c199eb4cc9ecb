"""Cleaning texts, splitting them into tokens, and looking up ids."""
# ruff: noqa: S106 (a token_pattern is not a password)

import re
import unicodedata
import warnings

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError
from sklearn.feature_extraction.text import CountVectorizer, strip_accents_ascii, strip_accents_unicode

from classifier.text import Encoded, TextSettings, Tokenizer, clean

OFF = {"normalize": None, "strip_html": False, "lowercase": False}
"""Settings without any cleaning."""

PATTERNS = [
    r"\w+",
    r"(?u)\w+",
    r"\b\w+\b",
    r"\w\w+",
    r"(?u)\b\w\w+\b",
    "[^ \t\n!?]+",
    r"[^\s!?]+",
    r"[a-z]+",
    r"[a-z][a-z]+",
    r"[\w'-]+",
    r"[^\W\d_]+",
    r"[\]\\x]+",
    r"\w+|[!?]",
    r"\S+",
    r"\w+?",
    r"[a-z ]+",
]

TRICKY = (
    "aA bB09_ -'.,!?<>/@ \t\n\v\f\r\x00\x1c\x1f\x7f\u0301\u0345\u200d\u00a0\u2028éßİΣς²½你ا\ud800\U0001f600"
)
ascii_texts = st.text(st.characters(max_codepoint=127))
unicode_texts = st.text(st.one_of(st.characters(), st.sampled_from(TRICKY)))


def settings(**changes: object) -> TextSettings:
    return TextSettings(**{"max_tokens": 1000} | changes)


def only(**changes: object) -> TextSettings:
    return settings(**OFF | changes)


def encode(texts: list[str], vocabulary: list[str | None], **changes: object) -> Encoded:
    return Tokenizer(settings(**changes), vocabulary).encode(texts)


# Cleaning, one step at a time


@given(unicode_texts)
def test_cleaning_with_every_step_off_changes_nothing(text: str) -> None:
    assert clean(text, only()) == text


def test_normalization_composes_letters_and_accents() -> None:
    assert clean("cafe\u0301", only(normalize="NFC")) == "caf\u00e9"


@given(st.text(st.characters(), max_size=30))
def test_normalization_is_that_of_unicode(text: str) -> None:
    assert clean(text, only(normalize="NFC")) == unicodedata.normalize("NFC", text)


def test_thirty_of_ten_thousand_combining_marks_are_kept() -> None:
    assert clean("e" + "\u0316" * 10_000 + "f", only(normalize="NFC")) == "e" + "\u0316" * 30 + "f"


def test_thirty_of_thirty_one_combining_marks_are_kept() -> None:
    assert clean("a" + "\u0335" * 31, only(normalize="NFC")) == "a" + "\u0335" * 30


def test_all_of_thirty_combining_marks_are_kept() -> None:
    text = "e" + "\u0316" * 30
    assert clean(text, only(normalize="NFC")) == text


def test_all_combining_marks_are_kept_without_normalization() -> None:
    assert clean("e" + "\u0301" * 100, only()) == "e" + "\u0301" * 100


def test_combining_marks_are_bounded_when_accents_are_stripped_without_normalization() -> None:
    enclosing = "\u20dd"  # a mark of combining class 0, which strip_accents keeps
    assert clean("e" + enclosing * 10_000, only(strip_accents="unicode")) == "e" + enclosing * 30


@pytest.mark.parametrize(
    "tag", ["<br>", "<br />", "</p>", '<a href="x">', "<!-- note -->", "<!DOCTYPE html>", "<B\n>"]
)
def test_a_tag_becomes_a_space(tag: str) -> None:
    assert clean(f"good{tag}film", only(strip_html=True)) == "good film"


@pytest.mark.parametrize("text", ["a < b > c", "I <3 it", "x <= y", "<", "<>", "ends in <b", "a > b"])
def test_text_that_is_not_a_tag_stays(text: str) -> None:
    assert clean(text, only(strip_html=True)) == text


def test_ten_thousand_open_brackets_are_kept() -> None:
    assert clean("<" * 10_000, only(strip_html=True)) == "<" * 10_000


def test_ten_thousand_open_tags_are_kept() -> None:
    assert clean("<a" * 10_000, only(strip_html=True)) == "<a" * 10_000


def test_only_the_closed_one_of_many_open_tags_is_removed() -> None:
    assert clean("<a" * 10_000 + ">", only(strip_html=True)) == "<a" * 9_999 + " "


def test_lower_casing_covers_every_script() -> None:
    assert clean("ÀΣА", only(lowercase=True)) == "àσа"


@given(unicode_texts)
def test_lower_casing_is_that_of_python(text: str) -> None:
    assert clean(text, only(lowercase=True)) == text.lower()


@given(st.text(st.characters(), max_size=30))
def test_strip_accents_unicode_equals_scikit_learn(text: str) -> None:
    assert clean(text, only(strip_accents="unicode")) == strip_accents_unicode(text)


@given(st.text(st.characters(), max_size=30))
def test_strip_accents_ascii_equals_scikit_learn(text: str) -> None:
    assert clean(text, only(strip_accents="ascii")) == strip_accents_ascii(text)


@pytest.mark.parametrize(
    "address", ["https://example.com/a?b=c", "HTTP://EXAMPLE.COM", "www.example.com", "http://例え.jp/é"]
)
def test_a_url_is_dropped_with_the_special_characters(address: str) -> None:
    assert clean(f"see {address} now", only(remove_special_chars=True)) == "see now"


def test_urls_are_dropped_before_e_mail_addresses() -> None:
    assert clean("write me@www.example.com now", only(remove_special_chars=True)) == "write me now"


@pytest.mark.parametrize("address", ["someone@example.com", "(me@example.org)", "first.last+tag@example.com"])
def test_an_email_address_is_dropped_with_the_special_characters(address: str) -> None:
    assert clean(f"write to {address} now", only(remove_special_chars=True)) == "write to now"


def test_a_mention_is_not_an_email_address() -> None:
    assert clean("hi @someone there", only(remove_special_chars=True)) == "hi someone there"


def test_ten_thousand_at_signs_are_dropped() -> None:
    assert clean("a" + "@" * 10_000, only(remove_special_chars=True)) == " "


@pytest.mark.parametrize(
    ("text", "letters"),
    [
        ("it's 10/10!", "it s "),
        ("snake_case", "snake case"),
        ("naïve 你好", "naïve 你好"),
        ("नमस्ते", "नमस्ते"),
        ("x² ½ Ⅷ ٣ y", "x y"),
        ("a\U0001f600b", "a b"),
        ("a\ud800b", "a b"),
    ],
    ids=["punctuation", "underscore", "other scripts", "marks", "numbers", "emoji", "lone surrogate"],
)
def test_removing_special_characters_leaves_letters_and_their_marks(text: str, letters: str) -> None:
    assert clean(text, only(remove_special_chars=True)) == letters


@given(st.text(st.characters(max_codepoint=127)))
def test_removing_special_characters_gives_ascii_and_other_texts_the_same_words(text: str) -> None:
    words = clean(text, only(remove_special_chars=True)).split()
    assert clean(f"{text} \u00e9", only(remove_special_chars=True)).split() == [*words, "\u00e9"]


def test_special_characters_are_kept_by_default() -> None:
    assert clean("see www.example.com, 10/10", settings()) == "see www.example.com, 10/10"


@given(unicode_texts)
def test_removing_special_characters_leaves_nothing_but_letters_marks_and_spaces(text: str) -> None:
    left = clean(text, only(remove_special_chars=True))
    assert all(char == " " or unicodedata.category(char)[0] in "LM" for char in left)


@pytest.mark.parametrize(
    "changes",
    [{}, {"remove_special_chars": True}, {"strip_accents": "ascii"}, {"strip_accents": "unicode"}],
    ids=str,
)
@given(text=unicode_texts)
def test_any_string_can_be_encoded(changes: dict[str, object], text: str) -> None:
    encoded = encode([text], ["a"], **changes)
    assert encoded.ends.tolist() == [len(encoded.ids) - 1]


# Tokens


@pytest.mark.parametrize("pattern", PATTERNS)
@given(text=ascii_texts)
def test_tokens_of_ascii_texts_are_the_matches_of_the_pattern(pattern: str, text: str) -> None:
    assert Tokenizer(only(token_pattern=pattern)).tokens(text) == re.findall(pattern, text)


@pytest.mark.parametrize("pattern", PATTERNS)
@given(text=unicode_texts)
def test_tokens_of_unicode_texts_are_the_matches_of_the_pattern(pattern: str, text: str) -> None:
    assert Tokenizer(only(token_pattern=pattern)).tokens(text) == re.findall(pattern, text)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_every_ascii_character_between_letters_splits_as_the_pattern_defines(pattern: str) -> None:
    text = "".join(f"ab{chr(code)}cd " for code in range(128))
    assert Tokenizer(only(token_pattern=pattern)).tokens(text) == re.findall(pattern, text)


def test_stop_words_are_not_tokens() -> None:
    assert Tokenizer(settings(stopwords=("the", "a"))).tokens("The film, a classic") == ["film", "classic"]


def test_a_null_byte_separates_tokens() -> None:
    assert Tokenizer(settings()).tokens("good\x00film") == ["good", "film"]


def test_right_to_left_text_keeps_its_logical_order() -> None:
    assert Tokenizer(settings()).tokens("مرحبا، بالعالم good") == ["مرحبا", "بالعالم", "good"]


def test_an_emoji_sequence_is_one_token_if_the_pattern_matches_it() -> None:
    family = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
    assert Tokenizer(settings(token_pattern=r"[^\s]+")).tokens(f"good {family}") == ["good", family]


def test_a_lone_surrogate_separates_tokens() -> None:
    assert Tokenizer(settings()).tokens("good\ud83dfilm") == ["good", "film"]


@pytest.mark.parametrize("pattern", [r"(\w)+", r"(?P<word>\w+)", r"(a)|(b)"])
def test_a_pattern_with_a_capturing_group_is_refused_by_name(pattern: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(f"token_pattern {pattern!r} has a capturing group")):
        settings(token_pattern=pattern)


@pytest.mark.parametrize("pattern", ["[a-z", "*", r"(?P<", "a{2,1}"])
def test_an_invalid_pattern_is_refused_by_name(pattern: str) -> None:
    with pytest.raises(
        ValidationError, match=re.escape(f"token_pattern {pattern!r} is not a regular expression")
    ):
        settings(token_pattern=pattern)


@pytest.mark.parametrize(
    "pattern", ["(?:" * 2000 + "a" + ")" * 2000, "a{99999999999999999999}"], ids=["deep", "large"]
)
def test_a_pattern_that_re_cannot_compile_is_refused_in_one_sentence(pattern: str) -> None:
    with pytest.raises(
        ValidationError, match=r"token_pattern '.{1,250}' is not a regular expression"
    ) as caught:
        settings(token_pattern=pattern)
    assert len(caught.value.errors()[0]["msg"]) < 500


def test_a_pattern_that_can_take_exponential_time_is_refused_by_name() -> None:
    pattern = r"\w+(?:(?:~+)+!)?"
    with pytest.raises(
        ValidationError, match=re.escape(f"token_pattern {pattern!r} has an unbounded repeat before")
    ):
        settings(token_pattern=pattern)


def test_a_closing_bracket_that_is_first_in_a_class_is_a_member_of_it() -> None:
    assert Tokenizer(only(token_pattern=r"[^][^]+")).tokens("a[b]c^d e") == ["a", "b", "c", "d e"]
    assert Tokenizer(only(token_pattern=r"[]ab]+")).tokens("a]b c]") == ["a]b", "]"]


def _compiles(pattern: str) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            re.compile(pattern)
        except (re.error, FutureWarning):
            return False
    return True


@given(
    body=st.text(st.sampled_from(list("][^-\\wabW")), min_size=1, max_size=6),
    again=st.booleans(),
    text=st.text(st.sampled_from(list("][^-\\wab cW_")), max_size=20),
)
def test_every_way_to_write_a_class_gives_the_matches_of_the_pattern(
    body: str, again: bool, text: str
) -> None:
    pattern = f"[{body}]" * (2 if again else 1) + "+"
    assume(_compiles(pattern))
    assert Tokenizer(only(token_pattern=pattern)).tokens(text) == re.findall(pattern, text)


def test_a_non_capturing_group_is_accepted() -> None:
    assert Tokenizer(settings(token_pattern=r"(?:ab)+")).tokens("ababa ab") == ["abab", "ab"]


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_below_one_token_is_refused(limit: int) -> None:
    with pytest.raises(ValidationError, match="max_tokens"):
        TextSettings(max_tokens=limit)


@pytest.mark.parametrize(
    ("vectorizer", "changes"),
    [
        (CountVectorizer(), {"token_pattern": r"(?u)\b\w\w+\b"}),
        (
            CountVectorizer(lowercase=False),
            {"token_pattern": r"(?u)\b\w\w+\b", "lowercase": False},
        ),
        (CountVectorizer(token_pattern=r"\w+", strip_accents="unicode"), {"strip_accents": "unicode"}),
        (CountVectorizer(token_pattern=r"\w+", strip_accents="ascii"), {"strip_accents": "ascii"}),
        (CountVectorizer(token_pattern=r"[a-z]+|[!?]"), {"token_pattern": r"[a-z]+|[!?]"}),
        (
            CountVectorizer(token_pattern=r"\w+", stop_words=["the", "b", "é"]),
            {"stopwords": ("the", "b", "é")},
        ),
    ],
    ids=["default", "case preserved", "unicode accents", "ascii accents", "alternatives", "stop words"],
)
@given(text=st.text(st.one_of(st.characters(), st.sampled_from(TRICKY + "the The É")), max_size=30))
def test_tokens_equal_those_of_scikit_learn(
    vectorizer: CountVectorizer, changes: dict[str, object], text: str
) -> None:
    assert Tokenizer(only(**{"lowercase": True} | changes)).tokens(text) == vectorizer.build_analyzer()(text)


# Ids

VOCABULARY: list[str | None] = ["good", "bad", "film"]
UNKNOWN, SEPARATOR = 3, 4


def test_the_ids_of_each_text_end_with_a_separator() -> None:
    encoded = encode(["good film", "", "Bad!"], VOCABULARY)
    assert encoded.ids.tolist() == [0, 2, SEPARATOR, SEPARATOR, 1, SEPARATOR]


def test_ends_are_the_places_of_the_separators() -> None:
    assert encode(["good film", "", "Bad!"], VOCABULARY).ends.tolist() == [2, 3, 5]


def test_an_empty_list_of_texts_gives_empty_arrays() -> None:
    encoded = encode([], VOCABULARY)
    assert [len(array) for array in (encoded.ids, encoded.ends, encoded.unknown, encoded.cut)] == [0, 0, 0, 0]


def test_an_unknown_token_keeps_its_place() -> None:
    assert encode(["bad xyz good"], VOCABULARY).ids.tolist() == [1, UNKNOWN, 0, SEPARATOR]


def test_unknown_tokens_that_are_dropped_leave_no_trace() -> None:
    assert encode(["bad xyz good"], VOCABULARY, unknown="drop").ids.tolist() == [1, 0, SEPARATOR]


@pytest.mark.parametrize("unknown", ["keep", "drop"])
def test_unknown_tokens_are_counted_for_each_text(unknown: str) -> None:
    encoded = encode(["good", "xyz xyz good", "", "abc"], VOCABULARY, unknown=unknown)
    assert encoded.unknown.tolist() == [0, 2, 0, 1]


def test_no_text_has_an_id_without_a_token() -> None:
    assert encode(["good None"], [None, "good"]).ids.tolist() == [1, 2, 3]


def test_a_stop_word_is_dropped_even_if_the_vocabulary_has_it() -> None:
    encoded = encode(["good film"], VOCABULARY, stopwords=("film",))
    assert (encoded.ids.tolist(), encoded.unknown.tolist()) == ([0, SEPARATOR], [0])


def test_a_token_shorter_than_the_pattern_allows_is_dropped_and_not_unknown() -> None:
    encoded = encode(["a good b"], VOCABULARY, token_pattern=r"(?u)\b\w\w+\b")
    assert (encoded.ids.tolist(), encoded.unknown.tolist()) == ([0, SEPARATOR], [0])


@pytest.mark.parametrize(("keep", "ids"), [("first", [0, 1, SEPARATOR]), ("last", [2, 0, SEPARATOR])])
def test_a_too_long_text_is_cut_to_its_first_or_last_tokens(keep: str, ids: list[int]) -> None:
    assert encode(["good bad film good"], VOCABULARY, max_tokens=2, keep=keep).ids.tolist() == ids


def test_only_texts_over_the_limit_are_marked_as_cut() -> None:
    encoded = encode(["good bad", "good bad film", "good"], VOCABULARY, max_tokens=2)
    assert encoded.cut.tolist() == [False, True, False]


def test_stop_words_are_dropped_before_the_cut() -> None:
    encoded = encode(["the good the bad"], VOCABULARY, max_tokens=2, stopwords=("the",))
    assert (encoded.ids.tolist(), encoded.cut.tolist()) == ([0, 1, SEPARATOR], [False])


def test_too_short_tokens_are_dropped_before_the_cut() -> None:
    encoded = encode(["a good a bad"], VOCABULARY, max_tokens=2, token_pattern=r"\w\w+")
    assert (encoded.ids.tolist(), encoded.cut.tolist()) == ([0, 1, SEPARATOR], [False])


def test_unknown_tokens_that_are_dropped_do_not_count_against_the_limit() -> None:
    encoded = encode(["x good y bad z"], VOCABULARY, max_tokens=2, unknown="drop")
    assert (encoded.ids.tolist(), encoded.cut.tolist()) == ([0, 1, SEPARATOR], [False])


def test_unknown_tokens_that_are_kept_count_against_the_limit() -> None:
    encoded = encode(["x good y bad z"], VOCABULARY, max_tokens=2)
    assert (encoded.ids.tolist(), encoded.cut.tolist()) == ([UNKNOWN, 0, SEPARATOR], [True])


def test_unknown_tokens_of_a_long_text_are_counted_if_they_are_dropped() -> None:
    encoded = encode(["x x x x good"], VOCABULARY, max_tokens=2, unknown="drop")
    assert encoded.unknown.tolist() == [4]


@pytest.mark.parametrize(("keep", "count"), [("first", 1), ("last", 2)])
def test_unknown_tokens_are_counted_in_the_part_that_was_read(keep: str, count: int) -> None:
    encoded = encode(["good x bad film y good z"], VOCABULARY, max_tokens=2, unknown="drop", keep=keep)
    assert encoded.unknown.tolist() == [count]


encodings = st.fixed_dictionaries(
    {
        "max_tokens": st.integers(1, 6),
        "keep": st.sampled_from(["first", "last"]),
        "unknown": st.sampled_from(["keep", "drop"]),
        "stopwords": st.sampled_from([(), ("the",), ("the", "good")]),
        "token_pattern": st.sampled_from([r"\w+", r"(?u)\b\w\w+\b", r"\w+|[!?]"]),
    }
)
wordy_texts = st.lists(st.sampled_from(["good", "Bad", "film", "the", "a", "é", "xyz", "!", "<br>"])).map(
    " ".join
)


@given(st.lists(wordy_texts, max_size=6), encodings)
def test_encoding_a_batch_equals_encoding_each_text_by_itself(
    texts: list[str], changes: dict[str, object]
) -> None:
    tokenizer = Tokenizer(settings(**changes), VOCABULARY)
    batch = tokenizer.encode(texts)
    single = [tokenizer.encode([text]) for text in texts]
    assert (batch.ids.tolist(), batch.unknown.tolist(), batch.cut.tolist()) == (
        [id_ for one in single for id_ in one.ids.tolist()],
        [int(one.unknown[0]) for one in single],
        [bool(one.cut[0]) for one in single],
    )


@given(wordy_texts, encodings)
def test_the_ids_are_those_of_tokens_that_are_neither_dropped_nor_cut(
    text: str, changes: dict[str, object]
) -> None:
    tokenizer = Tokenizer(settings(**changes), VOCABULARY)
    ids = [VOCABULARY.index(token) if token in VOCABULARY else UNKNOWN for token in tokenizer.tokens(text)]
    if changes["unknown"] == "drop":
        ids = [id_ for id_ in ids if id_ != UNKNOWN]
    limit = changes["max_tokens"]
    kept = ids[:limit] if changes["keep"] == "first" else ids[-limit:]
    encoded = tokenizer.encode([text])
    assert (encoded.ids.tolist(), encoded.cut.tolist()) == ([*kept, SEPARATOR], [len(ids) > limit])


@pytest.mark.parametrize(("keep", "ids"), [("first", [0, 1, 5]), ("last", [2, 3, 5])])
def test_only_the_first_or_the_last_tokens_of_a_too_long_text_are_read(keep: str, ids: list[int]) -> None:
    encoded = encode(["a b b a b c d"], ["a", "b", "c", "d"], max_tokens=2, keep=keep)
    assert encoded.ids.tolist() == ids
    assert encoded.cut.tolist() == [True]


@pytest.mark.parametrize(("unknown", "cut"), [("keep", True), ("drop", False)])
def test_unknown_tokens_among_stop_words_count_against_the_limit_only_if_they_are_kept(
    unknown: str, cut: bool
) -> None:
    encoded = encode(["the x y a"], ["a"], stopwords=("the",), unknown=unknown, max_tokens=2)
    assert encoded.cut.tolist() == [cut]


@given(st.lists(st.text("ab .", max_size=8), min_size=1, max_size=5))
def test_the_ids_of_one_text_of_a_batch_are_those_it_has_alone(texts: list[str]) -> None:
    tokenizer = Tokenizer(TextSettings(max_tokens=3), ["a", "b", "ab"])
    batch = tokenizer.encode(texts)
    for row, text in enumerate(texts):
        assert batch.ids[slice(*batch.bounds(row))].tolist() == tokenizer.encode([text]).ids[:-1].tolist()
