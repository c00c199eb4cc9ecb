"""The file of short sentences keeps the rules that tests/data/README.md states."""

import csv
import re
from collections import Counter
from pathlib import Path

import pytest

from training_import.evaluation.groups import NEUTRAL, read_groups

PATH = Path(__file__).parent.parent / "data" / "short_sentences.csv"
SIZES = {
    ("negation", "positive"): 18,
    ("negation", "negative"): 18,
    ("contrast", "positive"): 18,
    ("contrast", "negative"): 18,
    ("comparison", "positive"): 18,
    ("comparison", "negative"): 18,
    ("understatement", "positive"): 18,
    ("understatement", "negative"): 18,
    ("plain", "positive"): 16,
    ("plain", "negative"): 16,
    ("neutral", NEUTRAL): 24,
}


def rows() -> list[dict[str, str]]:
    with PATH.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def words(text: str) -> tuple[str, ...]:
    """The words of a text in lower case, without punctuation."""
    return tuple(re.findall(r"\w+", text.lower().replace("'", "")))


def test_there_are_200_sentences() -> None:
    assert len(rows()) == 200


def test_each_group_has_its_size_and_as_many_positive_as_negative_sentences() -> None:
    assert Counter((row["group"], row["label"]) for row in rows()) == SIZES


@pytest.mark.parametrize("part", ["choose", "final"])
def test_each_part_has_exactly_half_of_each_group_and_label(part: str) -> None:
    of_part = Counter((row["group"], row["label"]) for row in rows() if row["part"] == part)
    assert of_part == {key: size // 2 for key, size in SIZES.items()}


def test_no_sentence_occurs_twice_even_with_other_punctuation_or_capitals() -> None:
    assert len({words(row["text"]) for row in rows()}) == 200


def test_each_sentence_has_3_to_20_words() -> None:
    assert [row["text"] for row in rows() if not 3 <= len(row["text"].split()) <= 20] == []


def test_at_most_two_sentences_begin_with_the_same_three_words() -> None:
    assert [
        begin for begin, count in Counter(words(row["text"])[:3] for row in rows()).items() if count > 2
    ] == []


def test_no_sentence_has_white_space_around_it() -> None:
    assert [row["text"] for row in rows() if row["text"] != " ".join(row["text"].split())] == []


def test_the_two_parts_together_are_the_file() -> None:
    choose, final = read_groups(PATH, "choose"), read_groups(PATH, "final")
    assert sorted(choose.texts + final.texts) == sorted(read_groups(PATH).texts)
