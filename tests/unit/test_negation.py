"""Which tokens a negation reaches, and the ids of tokens that are negated."""

import re
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from classifier.negation import MARK, NEGATING_WORDS, NegatedIds, NegationSettings, in_scope
from classifier.text import WORDS, TextSettings, Tokenizer, clean

ENDS = NegationSettings().ends
VOCABULARY = ["good", f"{MARK}good", "film", f"{MARK}bad", "not", f"{MARK}not", "é", f"{MARK}é", "a"]
"""The token "bad" is known only in its marked form, and "never" in no form."""


def settings(**changes: object) -> TextSettings:
    return TextSettings(**{"max_tokens": 1000, "negation": NegationSettings()} | changes)


def tokens(text: str, **changes: object) -> list[str]:
    """Return the tokens of a text with "¬" before the negated ones."""
    return Tokenizer(settings(negation=NegationSettings(**changes))).tokens(text)


# The scope


def test_a_negation_reaches_four_tokens() -> None:
    assert tokens("not a b c d e") == ["not", "¬a", "¬b", "¬c", "¬d", "e"]


@pytest.mark.parametrize("end", ENDS)
def test_a_negation_ends_at_punctuation(end: str) -> None:
    assert tokens(f"not a {end} b") == tokens(f"not a{end}b") == ["not", "¬a", "b"]


@pytest.mark.parametrize("mark", ["-", "'", '"', "…", "/", "¬", "<br />"])
def test_other_characters_between_tokens_do_not_end_a_negation(mark: str) -> None:
    assert tokens(f"not a{mark}b") == ["not", "¬a", "¬b"]


def test_a_negating_word_in_the_scope_of_another_is_negated_and_begins_a_new_scope() -> None:
    assert tokens("not a b never c d e f g") == ["not", "¬a", "¬b", "¬never", "¬c", "¬d", "¬e", "¬f", "g"]


def test_a_negating_word_right_after_a_scope_is_not_negated() -> None:
    assert tokens("not a b c d never e") == ["not", "¬a", "¬b", "¬c", "¬d", "never", "¬e"]


def test_tokens_before_a_negation_are_not_negated() -> None:
    assert tokens("good, bad film not") == ["good", "bad", "film", "not"]


def test_a_contraction_with_an_apostrophe_negates() -> None:
    assert tokens("It wasn't good.") == tokens("It wasn’t good.") == ["it", "wasn", "t", "¬good"]


@pytest.mark.parametrize("word", NEGATING_WORDS)
def test_each_negating_word_negates(word: str) -> None:
    assert tokens(f"{word} good") == [word, "¬good"]


def test_a_negating_word_with_a_capital_negates_if_the_text_is_lowercased() -> None:
    assert tokens("NOT Good") == ["not", "¬good"]
    assert Tokenizer(settings(lowercase=False)).tokens("NOT Good") == ["NOT", "Good"]


def test_the_words_the_reach_and_the_ends_can_be_chosen() -> None:
    assert tokens("nicht a b c", words=("nicht",), tokens=2) == ["nicht", "¬a", "¬b", "c"]
    assert tokens("not a. b; c", ends=(";",)) == ["not", "¬a", "¬b", "c"]
    assert tokens("not a.b^c]d", ends=("^", "]")) == ["not", "¬a", "¬b", "c", "d"]


def test_a_negation_without_ends_ends_after_its_tokens() -> None:
    assert tokens("not a. b; c! d? e", ends=()) == ["not", "¬a", "¬b", "¬c", "¬d", "e"]


@pytest.mark.parametrize("text", ["", " ", "...", "not", "not.", "!not!"])
def test_a_text_of_punctuation_and_negating_words_has_no_negated_token(text: str) -> None:
    assert tokens(text) == re.findall(WORDS, text)


def test_no_token_at_all_has_no_scope() -> None:
    assert in_scope(np.zeros(0, bool), np.zeros(0, bool), 4).tolist() == []


def negated(read: Sequence[str], negation: NegationSettings) -> list[str]:
    """Mark the tokens of a text one after the other, and drop the ends of scopes."""
    left, marked = 0, []
    for token in read:
        if token in negation.ends:
            left = 0
            continue
        marked.append(MARK + token if left else token)
        left = negation.tokens if token in negation.words else max(left - 1, 0)
    return marked


ascii_pieces = st.sampled_from(
    ["good", "bad ", "film", " not ", " never ", "n't ", *ENDS, " ", "a", "<br />", "-"]
)
other_pieces = st.sampled_from(
    ["é", "É ", "e\u0301", "ß", "你", "—", "’t ", MARK, "\ud800", "\x1c", "\u2028", "\x00"]
)
ascii_texts = st.lists(ascii_pieces, max_size=25).map("".join)
other_texts = st.lists(st.one_of(ascii_pieces, other_pieces), max_size=25).map("".join)
any_texts = st.one_of(ascii_texts, other_texts, st.text(max_size=30))
negations = st.builds(
    NegationSettings,
    words=st.sampled_from([NEGATING_WORDS, ("not",), ("good", "é")]),
    tokens=st.integers(1, 5),
    ends=st.sampled_from([ENDS, (), ("!",), ("^", "-", "]")]),
)


def read_of(text: str, negation: NegationSettings) -> list[str]:
    """Return the tokens and the ends of scopes in a text, found by one regular expression."""
    ends = "".join(map(re.escape, negation.ends))
    return re.findall(rf"\w+|[{ends}]" if ends else r"\w+", clean(text, settings()))


@given(any_texts, negations)
def test_tokens_are_marked_as_by_counting_one_after_the_other(text: str, negation: NegationSettings) -> None:
    assert Tokenizer(settings(negation=negation)).tokens(text) == negated(read_of(text, negation), negation)


@given(any_texts)
def test_without_their_marks_the_tokens_are_those_of_settings_without_negation(text: str) -> None:
    assert [token.removeprefix(MARK) for token in tokens(text)] == Tokenizer(settings(negation=None)).tokens(
        text
    )


# The ids


def ids_of(read: Sequence[str]) -> list[int]:
    """Return the ids of tokens in `VOCABULARY`; an unknown token has the next one."""
    return [VOCABULARY.index(token) if token in VOCABULARY else len(VOCABULARY) for token in read]


def by_text(tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    encoded = tokenizer.encode(texts)
    assert (encoded.ids[encoded.ends] == tokenizer.separator_id).all()
    parts = np.split(encoded.ids, encoded.ends + 1)
    return [part[:-1].tolist() for part in parts[: len(texts)]]


def encoded(text: str, vocabulary: Sequence[str] = VOCABULARY, **changes: object) -> list[str]:
    """Return the tokens of the vocabulary that a text is encoded as, with "?" for an unknown one."""
    (ids,) = by_text(Tokenizer(settings(**changes), vocabulary), [text])
    return [[*vocabulary, "?"][id_] for id_ in ids]


def test_a_negated_token_has_the_id_of_its_marked_form() -> None:
    assert encoded("good, not good") == ["good", "not", "¬good"]


def test_a_token_known_only_in_its_marked_form_is_unknown_when_it_is_not_negated() -> None:
    assert encoded("bad, not bad") == ["?", "not", "¬bad"]


def test_a_token_without_a_marked_form_is_unknown_when_it_is_negated() -> None:
    assert encoded("film, not film") == ["film", "not", "?"]


def test_a_negating_word_outside_of_the_vocabulary_negates() -> None:
    assert encoded("never good") == ["?", "¬good"]


def test_a_negating_word_in_the_scope_of_another_has_the_id_of_its_marked_form() -> None:
    assert encoded("not not good") == ["not", "¬not", "¬good"]


def test_an_unknown_token_counts_in_the_reach_of_a_negation() -> None:
    assert encoded("not x x x good good") == ["not", "?", "?", "?", "¬good", "good"]


def test_a_mark_in_a_text_is_not_a_mark_of_a_token() -> None:
    assert encoded("¬good") == ["good"]


def test_a_scope_ends_with_its_text_in_a_batch() -> None:
    tokenizer = Tokenizer(settings(), VOCABULARY)
    assert by_text(tokenizer, ["film not", "good", "", "good"]) == [
        ids_of(read) for read in (["film", "not"], ["good"], [], ["good"])
    ]


def test_an_empty_vocabulary_knows_no_token() -> None:
    encoded_text = Tokenizer(settings()).encode(["not good. film", ""])
    assert encoded_text.ids.tolist() == [0, 0, 0, 1, 1]
    assert (encoded_text.known.tolist(), encoded_text.unknown.tolist()) == ([0, 0], [3, 0])


def test_known_and_unknown_tokens_are_counted_by_their_marked_forms_and_without_the_ends() -> None:
    found = Tokenizer(settings(), VOCABULARY).encode(["bad! not bad.", "film (not film) x;"])
    assert (found.known.tolist(), found.unknown.tolist()) == ([2, 2], [1, 2])


def test_ends_of_scopes_do_not_count_towards_the_most_tokens() -> None:
    found = Tokenizer(settings(max_tokens=2), VOCABULARY).encode(["...good!!! film???", "good. film. a."])
    assert found.cut.tolist() == [False, True]
    assert found.ids.tolist() == [0, 2, 10, 0, 2, 10]


def test_a_text_whose_beginning_is_cut_is_read_as_if_it_began_with_its_first_token() -> None:
    assert encoded("not good good", max_tokens=2, keep="last") == ["good", "good"]
    assert encoded("good not good good", max_tokens=3, keep="last") == ["not", "¬good", "¬good"]


@given(texts=st.lists(any_texts, max_size=6), negation=negations)
def test_the_ids_of_a_batch_are_those_of_the_tokens_of_each_text(
    texts: list[str], negation: NegationSettings
) -> None:
    tokenizer = Tokenizer(settings(negation=negation), VOCABULARY)
    assert by_text(tokenizer, texts) == [ids_of(tokenizer.tokens(text)) for text in texts]


@given(
    texts=st.lists(any_texts, max_size=6),
    negation=negations,
    limit=st.integers(1, 6),
    keep=st.sampled_from(["first", "last"]),
)
def test_a_text_that_is_too_long_has_the_ids_of_the_tokens_that_are_kept(
    texts: list[str], negation: NegationSettings, limit: int, keep: str
) -> None:
    tokenizer = Tokenizer(settings(negation=negation, max_tokens=limit, keep=keep), VOCABULARY)
    read = [read_of(text, negation) for text in texts]
    counted = [[i for i, token in enumerate(one) if token not in negation.ends] for one in read]
    kept = [
        one
        if len(places) <= limit
        else (one[: places[limit - 1] + 1] if keep == "first" else one[places[-limit] :])
        for one, places in zip(read, counted, strict=True)
    ]
    assert by_text(tokenizer, texts) == [ids_of(negated(one, negation)) for one in kept]
    assert tokenizer.encode(texts).cut.tolist() == [len(places) > limit for places in counted]


@given(texts=st.lists(any_texts, max_size=6), negation=negations, limit=st.sampled_from([2, 1000]))
def test_a_text_is_encoded_in_a_batch_as_it_is_alone(
    texts: list[str], negation: NegationSettings, limit: int
) -> None:
    tokenizer = Tokenizer(settings(negation=negation, max_tokens=limit), VOCABULARY)
    assert by_text(tokenizer, texts) == [by_text(tokenizer, [text])[0] for text in texts]


def test_the_ids_for_looking_up_have_an_entry_for_each_end_and_each_negating_word() -> None:
    ids = NegatedIds(NegationSettings(words=("not",), ends=(".",)), {"a": 0, "¬b": 1}, unknown=2, end=4).ids
    assert ids == {"a": 0, "¬b": 1, "b": 5, "not": 6, ".": 4}


# The settings


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"words": ()}, "at least 1 item"),
        ({"tokens": 0}, "greater than or equal to 1"),
        ({"tokens": 101}, "less than or equal to 100"),
        ({"ends": ("_",)}, "match pattern"),
        ({"ends": ("a",)}, "match pattern"),
        ({"ends": (" ",)}, "match pattern"),
        ({"ends": ("..",)}, "match pattern"),
        ({"ends": ("",)}, "match pattern"),
        ({"ends": (".\n",)}, "match pattern"),
        ({"ends": ("…",)}, "match pattern"),
        ({"reach": 3}, "Extra inputs are not permitted"),
    ],
    ids=str,
)
def test_settings_of_negation_beyond_their_bounds_are_refused(changes: dict[str, object], rule: str) -> None:
    with pytest.raises(ValidationError, match=rule):
        NegationSettings(**changes)


def test_every_punctuation_mark_of_ascii_but_the_underscore_may_end_a_scope() -> None:
    marks = [chr(code) for code in range(33, 127) if not chr(code).isalnum() and chr(code) != "_"]
    assert NegationSettings(ends=marks).ends == tuple(marks)
    for mark in marks:
        assert tokens(f"not a{mark}b", ends=marks) == ["not", "¬a", "b"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"token_pattern": r"\w\w+"}, r"negation needs the token_pattern '\\\\w\+'; it is '\\\\w\\\\w\+'"),
        ({"stopwords": ("the",)}, "negation counts all tokens, so none may be dropped by other settings"),
        ({"unknown": "drop"}, "negation counts all tokens, so none may be dropped by other settings"),
        (
            {"remove_special_chars": True},
            "negation counts all tokens, so none may be dropped by other settings",
        ),
    ],
    ids=str,
)
def test_text_settings_that_drop_tokens_or_split_them_otherwise_are_refused_with_negation(
    changes: dict[str, object], message: str
) -> None:
    assert settings(negation=None, **changes).negation is None
    with pytest.raises(ValidationError, match=message):
        settings(**changes)


def test_text_settings_with_negation_are_read_again_as_they_were_written() -> None:
    written = settings(negation=NegationSettings(words=("nicht",), tokens=2, ends=(";",)))
    assert TextSettings.model_validate_json(written.model_dump_json()) == written
