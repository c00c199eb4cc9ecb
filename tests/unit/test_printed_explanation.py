"""An explanation in a terminal: colours where there can be some, words where not, and a sum that adds up."""

import io
import re
from typing import Any

import pytest
from explained import explained
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from classifier.explain.explanation import Explanation, Faithfulness
from cli.explanation import AGAINST, FOR, print_explanation

TEXT = "A good film, but a bad end."
VALUES = {"good": 2.0, "bad": -0.75, "film": 0.125, "end": 0.0625}


def printed(explanation: Explanation, text: str = TEXT, top: int = 10, **console: Any) -> str:
    """What is printed where standard output is a pipe; `console` changes that."""
    file = io.StringIO()
    print_explanation(Console(file=file, width=100, **console), text, explanation, top)
    return file.getvalue()


def in_terminal(explanation: Explanation, text: str = TEXT, **console: Any) -> str:
    return printed(explanation, text, force_terminal=True, color_system="256", **console)


def values(output: str) -> dict[str, float]:
    """The rows of the table."""
    rows = re.findall(r"^(\S.*?) +([+-]\d+\.\d{4}) *$", output, re.MULTILINE)
    return {name: float(value) for name, value in rows}


def test_a_word_has_the_colour_of_its_side_and_the_style_of_its_strength() -> None:
    shown = in_terminal(explained(TEXT, VALUES))
    assert "\x1b[1;38;5;231;48;5;31mgood\x1b[0m" in shown
    assert "\x1b[38;5;130mbad\x1b[0m" in shown
    assert " film, but a " in shown


def test_the_colours_are_explained() -> None:
    shown = re.sub(r"\x1b\[[\d;]*m", "", in_terminal(explained(TEXT, VALUES)))
    assert "for positive, against it" in shown


def test_both_sides_have_the_same_number_of_styles() -> None:
    assert len(FOR) == len(AGAINST)


@pytest.mark.parametrize(
    "console",
    [
        {},
        {"force_terminal": True, "color_system": "256", "no_color": True},
        {"force_terminal": True, "color_system": "standard"},
        {"force_terminal": True, "color_system": None},
    ],
    ids=["pipe", "NO_COLOR", "16 colours", "no colours"],
)
def test_without_colours_there_are_no_escape_codes_and_the_strongest_words_are_listed(
    console: dict[str, Any],
) -> None:
    shown = printed(explained(TEXT, VALUES), **console)
    assert "\x1b" not in shown
    assert f"\n{TEXT}\n" in shown
    assert "words for positive: good (+2.0000), film (+0.1250), end (+0.0625)\n" in shown
    assert "words against it: bad (-0.7500)\n" in shown


def test_a_side_without_words_says_so() -> None:
    assert "words against it: none\n" in printed(explained(TEXT, {"good": 1.0}))


def test_a_word_that_occurs_twice_is_listed_once_with_the_sum_of_its_shares() -> None:
    shown = printed(explained("Good, good film", {"good": 3.0}), text="Good, good film")
    assert "words for positive: good (+3.0000)\n" in shown


@given(st.dictionaries(st.sampled_from("abcdefgh"), st.floats(-9, 9), min_size=1), st.integers(1, 9))
def test_the_rows_add_up_to_the_score(found: dict[str, float], top: int) -> None:
    text = " ".join(found)
    rows = values(printed(explained(text, found, interaction=0.5), text, top))
    score = rows.pop("score")
    assert sum(rows.values()) == pytest.approx(score, abs=0.00005 * (len(rows) + 1))


def test_what_is_not_shown_is_one_row_with_its_number() -> None:
    rows = values(printed(explained(TEXT, VALUES), top=2))
    assert rows == {"good": 2.0, "bad": -0.75, "2 others": 0.1875, "bias": 0.25, "score": 1.6875}


def test_a_single_contribution_that_is_not_shown_is_one_other() -> None:
    assert "1 other" in values(printed(explained(TEXT, VALUES), top=3))


def test_the_probability_of_two_labels_follows_from_the_score() -> None:
    shown = printed(explained(TEXT, VALUES))
    assert "probability of positive: 0.9000 = 1 / (1 + exp(-(1.5000 × +1.6875 - 0.1250)))" in shown


def test_the_probability_of_more_labels_is_not_computed_from_one_score() -> None:
    shown = printed(explained(TEXT, VALUES, labels=("anger", "fear", "joy")))
    assert "probability of joy: 0.9000\n" in shown


@pytest.mark.parametrize(
    ("labels", "against"),
    [(("negative", "positive"), "the other label"), (("a", "b", "c"), "the mean of the other labels")],
)
def test_it_is_said_what_the_score_is_against(labels: tuple[str, ...], against: str) -> None:
    shown = printed(explained(TEXT, VALUES, labels))
    assert f"score: log-odds of {labels[-1]} against {against}, before calibration\n" in shown


def test_occlusion_shows_what_it_cannot_attribute_and_how_faithful_it_is() -> None:
    shown = printed(explained(TEXT, VALUES, faithfulness=Faithfulness(0.5, 0.0625), interaction=-0.5))
    assert values(shown)["interaction"] == -0.5
    assert "faithfulness: comprehensiveness 0.5000, sufficiency 0.0625\n" in shown


@given(st.text(max_size=60))
def test_no_character_of_a_text_controls_the_terminal(text: str) -> None:
    shown = printed(explained(text, dict.fromkeys(re.findall(r"\w+", text.lower()), 1.0)), text)
    assert all(character.isprintable() or character == "\n" for character in shown)


def test_escape_codes_in_a_text_or_a_label_are_not_printed() -> None:
    text = "good \x1b[2J\x1b]0;title\x07 film \u202e"
    shown = in_terminal(explained(text, VALUES, labels=("bad\x1b[1A", "good\x1b[1A")), text)
    assert not re.search(r"\x1b(?!\[[\d;]*m)|\x07|\u202e", shown)


def test_markup_in_a_text_is_shown_as_it_is() -> None:
    text = "[bold]good[/bold] :smile:"
    assert text in printed(explained(text, {"good": 1.0}), text)
