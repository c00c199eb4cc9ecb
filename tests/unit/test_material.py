"""Which texts are for training, for choosing, or for the final test."""

import hashlib
import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training_import.dataset import Dataset
from training_import.rows import DatasetError
from training_import.training.material import DataSets, Material, split_material

LABELS = ["negative", "positive"]


def dataset(count: int, word: str, labels: list[str] | None = None) -> Dataset:
    """Return distinct texts of nine words, whose labels take turns."""
    texts = [" ".join(f"{word}{number}x{place}" for place in range(9)) for number in range(count)]
    given = labels or LABELS
    return Dataset(f"{word}.csv", "5" * 64, texts, [given[number % len(given)] for number in range(count)])


MAIN, SHORT, TEST = dataset(50, "review"), dataset(400, "sentence"), dataset(20, "test")


def tenth(text: str) -> int:
    return int(hashlib.sha256(text.encode()).hexdigest(), 16) % 10


def texts_of(material: Material, rows: np.ndarray) -> list[str]:
    return [material.texts[row] for row in rows]


@pytest.fixture(scope="module")
def material() -> Material:
    return split_material(DataSets(MAIN, SHORT, test=TEST), seed=0)


def test_without_short_texts_all_texts_are_split_and_none_is_short() -> None:
    found = split_material(DataSets(MAIN), seed=0)
    assert (found.texts, found.labels) == (MAIN.texts, MAIN.labels)
    assert not found.is_short.any()
    assert (found.test, found.short_test, found.left_out) == (None, None, 0)


@pytest.mark.parametrize("labels", [["a", "b"], ["a", "b", "c"], ["a", "a", "a", "b"]], ids=str)
def test_a_fifth_of_each_class_is_held_out(labels: list[str]) -> None:
    data = dataset(60, "review", labels)
    found = split_material(DataSets(data), seed=3)
    held_out = Counter(found.labels[row] for row in found.held_out_rows)
    assert held_out == {label: round(count / 5) for label, count in Counter(data.labels).items()}


def test_labels_that_differ_in_a_last_null_character_are_different_classes() -> None:
    found = split_material(DataSets(dataset(40, "review", ["a", "a\0"])), seed=0)
    assert Counter(found.labels[row] for row in found.held_out_rows) == {"a": 4, "a\0": 4}


def test_the_same_seed_holds_out_the_same_texts_and_another_seed_holds_out_others() -> None:
    first, again, other = (split_material(DataSets(MAIN), seed).held_out_rows.tolist() for seed in (0, 0, 1))
    assert first == again != other


def test_the_hash_of_a_short_text_decides_what_it_is_for(material: Material) -> None:
    short = material.is_short
    assert material.short_test is not None
    learned = [tenth(text) for text in texts_of(material, material.train_rows[short[material.train_rows]])]
    held = [tenth(text) for text in texts_of(material, material.held_out_rows[short[material.held_out_rows]])]
    assert set(map(tenth, material.short_test.texts)) == {0, 1}
    assert set(held) == {2, 3}
    assert set(learned) == set(range(4, 10))


def test_the_seed_does_not_decide_which_short_texts_are_for_the_test(material: Material) -> None:
    other = split_material(DataSets(MAIN, SHORT, test=TEST), seed=1)
    assert other.short_test == material.short_test


def test_short_texts_keep_their_labels_and_are_the_last_ones(material: Material) -> None:
    label_of = dict(zip(MAIN.texts + SHORT.texts, MAIN.labels + SHORT.labels, strict=True))
    assert material.labels == [label_of[text] for text in material.texts]
    assert material.is_short.tolist() == [text in set(SHORT.texts) for text in material.texts]
    assert material.texts[: len(MAIN.texts)] == MAIN.texts


def test_the_test_part_of_short_texts_has_the_name_and_the_digest_of_all(material: Material) -> None:
    assert material.short_test is not None
    assert (material.short_test.name, material.short_test.sha256) == (SHORT.name, SHORT.sha256)
    label_of = dict(zip(SHORT.texts, SHORT.labels, strict=True))
    assert material.short_test.labels == [label_of[text] for text in material.short_test.texts]


def test_texts_that_overlap_with_test_texts_are_left_out_and_counted() -> None:
    copies = [MAIN.texts[0], MAIN.texts[7] + " more", "new words that were in no other text before this one"]
    test = Dataset("test.csv", "", copies, ["negative"] * 3)
    found = split_material(DataSets(MAIN, test=test), seed=0)
    assert found.left_out == 2
    assert found.texts == [text for row, text in enumerate(MAIN.texts) if row not in (0, 7)]
    assert found.test == test


def test_texts_that_overlap_with_short_test_texts_are_left_out() -> None:
    copied = next(text for text in SHORT.texts if tenth(text) < 2)
    main = replace(MAIN, texts=[copied, *MAIN.texts[1:]])
    found = split_material(DataSets(main, SHORT), seed=0)
    assert found.left_out == 1
    assert copied not in found.texts


def test_short_texts_that_overlap_with_test_texts_are_left_out() -> None:
    copied = next(text for text in SHORT.texts if tenth(text) > 3)
    test = Dataset("test.csv", "", [copied], ["negative"])
    found = split_material(DataSets(MAIN, SHORT, test=test), seed=0)
    assert found.left_out == 1
    assert copied not in found.texts


def test_leaving_texts_out_does_not_change_what_the_others_are_for() -> None:
    whole = split_material(DataSets(MAIN), seed=0)
    held_out = texts_of(whole, whole.held_out_rows)
    test = Dataset("test.csv", "", [held_out[0], MAIN.texts[0]], ["negative"] * 2)
    found = split_material(DataSets(MAIN, test=test), seed=0)
    assert texts_of(found, found.held_out_rows) == held_out[1:]


@given(
    st.lists(st.integers(0, 399), max_size=30), st.lists(st.integers(0, 49), max_size=10), st.integers(0, 5)
)
def test_each_text_is_in_one_part_and_no_text_is_lost(twice: list[int], tested: list[int], seed: int) -> None:
    """Some short texts occur twice, and some texts of the main data set are test texts, too."""
    short = replace(
        SHORT,
        texts=SHORT.texts + [SHORT.texts[row] for row in twice],
        labels=SHORT.labels + [SHORT.labels[row] for row in twice],
    )
    test = Dataset("test.csv", "", [MAIN.texts[row] for row in tested], [MAIN.labels[row] for row in tested])
    found = split_material(DataSets(MAIN, short, test=test), seed)
    assert found.short_test is not None
    rows = np.concatenate([found.train_rows, found.held_out_rows])
    assert sorted(rows.tolist()) == list(range(len(found.texts)))
    parts = [
        set(texts_of(found, found.train_rows)),
        set(texts_of(found, found.held_out_rows)),
        set(found.short_test.texts),
        set(test.texts),
    ]
    assert sum(map(len, parts)) == len(set.union(*parts)) == len({*MAIN.texts, *short.texts})
    assert found.left_out == len(set(tested))


def refusal(**data: Dataset) -> str:
    with pytest.raises(DatasetError) as refused:
        split_material(DataSets(**{"main": MAIN} | data), seed=0)
    return str(refused.value)


def test_test_texts_that_leave_nothing_to_train_on_are_refused() -> None:
    assert refusal(test=MAIN) == (
        "review.csv: class 'negative' has no text to train on, and needs at least one; "
        "50 texts were left out, because they overlap with test texts"
    )


def test_test_texts_that_leave_no_held_out_text_of_a_class_are_refused() -> None:
    found = split_material(DataSets(MAIN), seed=0)
    test = [found.texts[row] for row in found.held_out_rows if found.labels[row] == "positive"]
    message = refusal(test=Dataset("test.csv", "", test, ["positive"] * len(test)))
    assert message.startswith(
        "review.csv: class 'positive' has no text that is held out, and needs at least one"
    )


@pytest.mark.parametrize(
    ("kept", "purpose"),
    [(range(4), "to train on"), ((0, 1, 4, 5), "that is held out"), (range(2, 10), "for the test")],
    ids=["nothing to train on", "nothing held out", "nothing for the test"],
)
def test_short_texts_that_lack_a_class_in_one_part_are_refused(kept: range, purpose: str) -> None:
    short = SHORT.only(
        [
            label == "negative" or tenth(text) in kept
            for text, label in zip(SHORT.texts, SHORT.labels, strict=True)
        ]
    )
    assert re.match(rf"sentence\.csv: class 'positive' has no text {purpose}, ", refusal(short=short))
