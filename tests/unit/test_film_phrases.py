"""The generated sentences about films: their labels, and that they are not those of the final figures."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from training_import.dataset import Dataset
from training_import.evaluation.groups import read_groups
from training_import.film_phrases import GENERATED, NAME, film_phrases
from training_import.overlap import overlapping


@pytest.fixture(scope="module")
def phrases() -> Dataset:
    return film_phrases()


@pytest.fixture(scope="module")
def label_of(phrases: Dataset) -> dict[str, str]:
    return dict(zip(phrases.texts, phrases.labels, strict=True))


def test_both_labels_have_so_many_generated_sentences_and_some_whole_ones(phrases: Dataset) -> None:
    counts = Counter(phrases.labels)
    assert counts.keys() == {"negative", "positive"}
    assert all(GENERATED < count < 1.1 * GENERATED for count in counts.values())


def test_no_sentence_is_twice_in_the_list(phrases: Dataset, label_of: dict[str, str]) -> None:
    assert len(label_of) == len(phrases.texts)


def test_generating_them_again_gives_the_same_sentences(phrases: Dataset) -> None:
    assert film_phrases() == phrases
    assert phrases.name == NAME
    assert re.fullmatch(r"[0-9a-f]{64}", phrases.sha256)


def test_no_sentence_has_an_open_place_or_a_wrong_article(phrases: Dataset) -> None:
    assert [text for text in phrases.texts if not text.strip() or re.search(r"[{}]|\ban? ?$|  ", text)] == []


def test_a_sentence_of_an_adjective_and_not_has_the_other_label(label_of: dict[str, str]) -> None:
    found = [
        (text, label)
        for text, label in label_of.items()
        if re.search(r"\bnot (boring|dull|bad) at all\b", text)
    ]
    assert found
    assert {label for _, label in found} == {"positive"}


def test_no_sentence_is_one_of_the_short_sentences_for_figures(phrases: Dataset, project: Path) -> None:
    groups = read_groups(project / "tests/data/short_sentences.csv", "final")
    assert not overlapping(groups.texts, phrases.texts).any()


def test_no_whole_sentence_is_one_of_the_short_sentences(project: Path) -> None:
    words = json.loads((project / "training_import/film_phrases.json").read_text(encoding="utf-8"))
    texts = read_groups(project / "tests/data/short_sentences.csv").texts
    assert not overlapping([*words["positive"], *words["negative"]], texts).any()
