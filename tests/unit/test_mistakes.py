"""The most confident mistakes: the right ones, in the right order, and each explained."""

from pathlib import Path

from explained import explained
from hypothesis import given
from hypothesis import strategies as st
from mistaken import Row, dataset_of, report_of

from training_import.dataset import read_dataset
from training_import.evaluation.mistakes import Mistakes, find_mistakes

LABELS = ("anger", "fear", "joy")
ROWS: list[Row] = [
    ("right", "joy", "joy", 0.99),
    ("surest", "joy", "fear", 0.9),
    ("first of two", "anger", "fear", 0.6),
    ("second of two", "anger", "joy", 0.6),
    ("less sure", "joy", "fear", 0.5),
]
RANDOM_ROWS = st.lists(
    st.tuples(st.just("text"), st.sampled_from(LABELS), st.sampled_from(LABELS), st.floats(0.4, 1)),
    min_size=1,
    max_size=30,
)


def found(rows: list[Row], most: int = 100) -> Mistakes:
    return find_mistakes(dataset_of(rows), report_of(rows, LABELS), lambda text: explained(text, {}), most)


def test_the_most_confident_mistakes_come_first_and_equal_ones_in_the_order_of_the_rows() -> None:
    assert [one.text for one in found(ROWS).worst] == ["surest", "first of two", "second of two", "less sure"]


def test_a_mistake_has_its_place_its_labels_and_its_confidence() -> None:
    worst = found(ROWS).worst[0]
    assert (worst.place, worst.truth, worst.predicted, worst.confidence) == ("text 2", "joy", "fear", 0.9)


def test_a_mistake_from_a_file_has_its_line_there_although_rows_were_skipped(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text('text,label\n"two\nlines",joy\n,joy\nwrong,joy\n', encoding="utf-8")
    report = report_of([("two\nlines", "joy", "joy", 0.9), ("wrong", "joy", "fear", 0.8)], LABELS)
    (only,) = find_mistakes(read_dataset(path), report, lambda text: explained(text, {}), 10).worst
    assert (only.text, only.place) == ("wrong", "line 5")


def test_only_as_many_mistakes_as_asked_for_are_explained() -> None:
    explained_texts = []

    def explain(text: str):
        explained_texts.append(text)
        return explained(text, {})

    find_mistakes(dataset_of(ROWS), report_of(ROWS, LABELS), explain, 2)
    assert explained_texts == ["surest", "first of two"]


def test_pairs_are_counted_over_all_mistakes_the_most_frequent_first() -> None:
    mistakes = found(ROWS, most=1)
    assert mistakes.pairs == ((("joy", "fear"), 2), (("anger", "fear"), 1), (("anger", "joy"), 1))
    assert mistakes.total == 4


def test_progress_is_reported_after_each_explanation() -> None:
    reported = []
    find_mistakes(
        dataset_of(ROWS),
        report_of(ROWS, LABELS),
        lambda text: explained(text, {}),
        3,
        lambda done, count: reported.append((done, count)),
    )
    assert reported == [(1, 3), (2, 3), (3, 3)]


@given(RANDOM_ROWS)
def test_the_mistakes_are_the_texts_with_another_label_than_predicted(rows: list[Row]) -> None:
    mistakes = found(rows)
    wrong = [f"text {number}" for number, row in enumerate(rows, start=1) if row[1] != row[2]]
    assert sorted(one.place for one in mistakes.worst) == sorted(wrong)
    assert mistakes.total == len(wrong)
