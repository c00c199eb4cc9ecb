"""The HTML of texts and probabilities: nothing that a user wrote becomes markup, and no character is lost."""

import re
from html import unescape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifier.schema import ExplanationAnswer, RankedLabel, WordAnswer
from ui.markup import coloured_text, contribution_table, legend, percent, probability_bars, threshold_bars

HOSTILE = '<img src=x onerror="alert(1)">&amp;\'"'

_TAG = re.compile(r"<[^>]*>")


def explanation(text: str, words: list[WordAnswer]) -> ExplanationAnswer:
    return {
        "text": text,
        "predicted_class": 1,
        "label": "positive",
        "confidence": 0.9,
        "is_confident": True,
        "explained_label": "positive",
        "method": "exact",
        "unit": "n-gram",
        "compared_with": "the other label",
        "score": 1.0,
        "bias": 0.0,
        "contributions": [],
        "remainder": {"count": 0, "contribution": 0.0},
        "interaction": 0.0,
        "words": words,
        "calibration": {"scale": 1.0, "bias": 0.0},
    }


def shares(*values: float) -> str:
    """A text with a word "w" for each share."""
    words: list[WordAnswer] = [
        {"start": 2 * place, "end": 2 * place + 1, "share": value} for place, value in enumerate(values)
    ]
    return coloured_text(explanation(" ".join("w" * len(values)), words))


@st.composite
def texts_with_words(draw: st.DrawFn) -> ExplanationAnswer:
    text = draw(st.text(alphabet=st.sampled_from("ab <>&\"'é😀\n"), min_size=1, max_size=40))
    edges = sorted(draw(st.sets(st.integers(0, len(text)), max_size=8)))
    words: list[WordAnswer] = [
        {"start": start, "end": end, "share": draw(st.floats(-5, 5))}
        for start, end in zip(edges[::2], edges[1::2], strict=False)
    ]
    return explanation(text, words)


@given(texts_with_words())
def test_a_coloured_text_reads_as_the_text(answer: ExplanationAnswer) -> None:
    assert unescape(_TAG.sub("", coloured_text(answer))) == answer["text"]


@given(texts_with_words())
def test_a_coloured_text_has_only_the_tags_that_colour_it(answer: ExplanationAnswer) -> None:
    assert {tag.split()[0].strip("<>/") for tag in _TAG.findall(coloured_text(answer))} <= {"p", "span"}


def test_a_word_that_speaks_for_the_label_is_coloured_so() -> None:
    assert 'class="is-for' in shares(1.0)


def test_a_word_that_speaks_against_the_label_is_coloured_so() -> None:
    assert 'class="is-against' in shares(-1.0)


def test_a_weak_word_has_no_colour() -> None:
    assert shares(1.0, 0.04).count("class=") == 2  # the paragraph and the strong word


def test_only_strong_words_are_underlined() -> None:
    assert shares(1.0, 0.4).count("is-strong") == 1


def test_the_strongest_word_is_as_opaque_as_contrast_allows() -> None:
    assert "--opacity:0.450" in shares(0.002, -0.001)


def test_words_without_any_share_have_no_colour() -> None:
    assert "is-" not in shares(0.0, 0.0)


def test_a_hostile_label_is_text_in_the_bars() -> None:
    assert "<img" not in probability_bars([{"label": HOSTILE, "probability": 0.5}])


def test_a_hostile_label_does_not_end_its_tooltip() -> None:
    shown = probability_bars([{"label": HOSTILE, "probability": 0.5}])
    assert re.findall(r'title="([^"]*)"', shown) == [
        "&lt;img src=x onerror=&quot;alert(1)&quot;&gt;&amp;amp;&#x27;&quot;"
    ]


def test_a_bar_is_as_wide_as_its_probability() -> None:
    assert 'style="width:12.50%"' in probability_bars([{"label": "a", "probability": 0.125}])


def test_a_hostile_part_of_a_text_is_text_in_its_table() -> None:
    shown = contribution_table([{"text": HOSTILE, "places": [[0, 3]], "contribution": 1.0}])
    assert "<img" not in shown


def test_the_strongest_contribution_has_the_longest_bar() -> None:
    shown = contribution_table(
        [
            {"text": "a", "places": [[0, 1]], "contribution": -2.0},
            {"text": "b", "places": [[2, 3]], "contribution": 1.0},
        ]
    )
    assert re.findall(r'class="half (\S+)"><div style="width:([\d.]+)%', shown) == [
        ("is-against", "100.0"),
        ("is-for", "50.0"),
    ]


def test_a_part_that_occurs_often_says_how_often() -> None:
    assert "a (2 times)" in contribution_table(
        [{"text": "a", "places": [[0, 1], [2, 3]], "contribution": 1.0}]
    )


def test_contributions_of_zero_have_no_bars() -> None:
    assert "width:0.0%" in contribution_table([{"text": "a", "places": [[0, 1]], "contribution": 0.0}])


def test_a_hostile_label_is_text_in_the_legend() -> None:
    assert "<img" not in legend(HOSTILE, HOSTILE)


@pytest.mark.parametrize(
    ("probability", "shown"),
    [
        (0.0, "0.0 %"),
        (1e-9, "< 0.1 %"),
        (0.0004, "< 0.1 %"),
        (0.001, "0.1 %"),
        (0.1234, "12.3 %"),
        (0.9994, "99.9 %"),
        (0.99951, "> 99.9 %"),
        (0.9999999, "> 99.9 %"),
        (1.0, "100.0 %"),
    ],
)
def test_a_probability_is_never_rounded_to_certainty(probability: float, shown: str) -> None:
    assert percent(probability) == shown


def bars_of_several() -> str:
    ranked: list[RankedLabel] = [
        {"label": "<b>", "probability": 0.75},
        {"label": "plot", "probability": 0.5},
        {"label": "music", "probability": 0.25},
    ]
    return threshold_bars(ranked, {"<b>": 0.8, "plot": 0.5, "music": 0.001})


def test_the_bar_of_a_label_has_a_line_at_its_threshold() -> None:
    assert [f"left:{place}%" in bars_of_several() for place in ("80.00", "50.00", "0.10")] == [True] * 3


def test_only_labels_at_or_above_their_thresholds_are_reached() -> None:
    assert bars_of_several().count("is-reached") == 2
    assert bars_of_several().count("is-missed") == 1


def test_a_label_on_a_bar_with_a_threshold_is_escaped() -> None:
    assert "<b>" not in bars_of_several()
    assert "&lt;b&gt;" in bars_of_several()
