"""What the pages ask about results: filters, orders, numbers, and the rows with a true label."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from classifier.schema import PredictionAnswer
from ui.jobs import CONFIDENCE_BINS, Choices, Filter, Order, OrderBy, ProblemKind, queries
from ui.jobs import database as db
from ui.jobs.store import NewRow, RowProblem, Text, open_store

FIRST = Order()

ROWS = [
    ("A good film", "positive", "positive", 0.9),
    ("ÄRGERLICH and long, so long", "negative", "positive", 0.6),
    ("100% bad_", "negative", "negative", 1.0),
    ("no label here", None, "negative", 0.55),
    ("strange label", "mixed", "negative", 0.7),
]


def answer(label: str, confidence: float) -> PredictionAnswer:
    other = "negative" if label == "positive" else "positive"
    return {
        "text": "",
        "predicted_class": 0,
        "label": label,
        "confidence": confidence,
        "is_confident": True,
        "probabilities": {label: confidence, other: round(1 - confidence, 2)},
        "warnings": ["a short text"],
    }


@pytest.fixture
def database(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """Five classified rows, two with a problem, and one that waits."""
    path = tmp_path / "job.sqlite"
    db.create(path, "a.csv")
    texts = [Text(number, true, text) for number, (text, true, _, _) in enumerate(ROWS, start=1)]
    rejected = Text(7, "positive", "rejected")
    with open_store(path) as store, db.connection(path) as database:
        db.start(database, Choices("text", "label"))
        store.add_model("fake:1", ["negative", "positive"])
        new = [NewRow(text, len(text.text)) for text in (*texts, rejected, Text(8, None, "waits"))]
        blank = NewRow(Text(6, "negative", ""), 0, ProblemKind.BLANK, "The text is blank.")
        store.add_rows([*new, blank], 1.0)
        store.add_predictions(texts, [answer(label, confidence) for _, _, label, confidence in ROWS], 5.0)
        store.add_problems([RowProblem(rejected, ProblemKind.REJECTED, "Not this.")])
        yield database


def numbers(database: sqlite3.Connection, where: Filter, order: Order = FIRST) -> list[int]:
    return [result.number for result in queries.page(database, where, order, 0, 100)]


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (Filter(), [1, 2, 3, 4, 5, 6, 7]),
        (Filter(labels=frozenset({"positive"})), [1, 2]),
        (Filter(labels=frozenset()), []),
        (Filter(labels=frozenset({"' OR 1=1 --"})), []),
        (Filter(min_confidence=0.7), [1, 3, 5]),
        (Filter(max_confidence=0.6), [2, 4]),
        (Filter(contains="good FILM"), [1]),
        (Filter(contains="ärgerlich"), [2]),
        (Filter(contains="%"), [3]),
        (Filter(contains="_"), [3]),
        (Filter(contains="'"), []),
        (Filter(only_problems=True), [6, 7]),
        (Filter(only_mistakes=True), [2, 5]),
        (Filter(only_mistakes=True, labels=frozenset({"positive"})), [2]),
    ],
)
def test_a_page_has_the_rows_that_fulfil_all_conditions(
    database: sqlite3.Connection, where: Filter, expected: list[int]
) -> None:
    assert numbers(database, where) == expected


@pytest.mark.parametrize("where", [Filter(), Filter(contains="a"), Filter(only_mistakes=True)])
def test_the_count_is_that_of_all_pages(database: sqlite3.Connection, where: Filter) -> None:
    assert queries.count(database, where) == len(numbers(database, where))


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (Order(OrderBy.ROW, descending=True), [7, 6, 5, 4, 3, 2, 1]),
        (Order(OrderBy.LABEL), [3, 4, 5, 1, 2, 6, 7]),
        (Order(OrderBy.CONFIDENCE), [4, 2, 5, 1, 3, 6, 7]),
        (Order(OrderBy.CONFIDENCE, descending=True), [3, 1, 5, 2, 4, 6, 7]),
        (Order(OrderBy.LENGTH), [6, 7, 3, 1, 4, 5, 2]),
    ],
)
def test_rows_without_a_value_come_last_in_each_order(
    database: sqlite3.Connection, order: Order, expected: list[int]
) -> None:
    assert numbers(database, Filter(), order) == expected


def test_pages_continue_each_other(database: sqlite3.Connection) -> None:
    order = Order(OrderBy.CONFIDENCE)
    pages = [queries.page(database, Filter(), order, offset, 3) for offset in (0, 3, 6)]
    assert [result.number for page in pages for result in page] == numbers(database, Filter(), order)


def test_a_result_has_all_that_the_service_said(database: sqlite3.Connection) -> None:
    result = queries.result(database, 2)
    assert result is not None
    assert (result.probabilities, result.warnings) == ({"positive": 0.6, "negative": 0.4}, ("a short text",))


def test_a_row_that_waits_has_no_result(database: sqlite3.Connection) -> None:
    assert queries.result(database, 8) is None


def test_the_summary_counts_the_rows_of_each_label(database: sqlite3.Connection) -> None:
    assert queries.summary(database).rows_by_label == {"negative": 3, "positive": 2}


def test_the_histogram_has_the_highest_confidence_in_its_last_bin(database: sqlite3.Connection) -> None:
    bins = queries.summary(database).confidences["negative"]
    assert (len(bins), bins[-1], sum(bins)) == (CONFIDENCE_BINS, 1, 3)


def test_the_summary_counts_problems_by_kind(database: sqlite3.Connection) -> None:
    assert queries.summary(database).problems == {ProblemKind.BLANK: 1, ProblemKind.REJECTED: 1}


def test_the_accuracy_is_that_of_the_classified_rows_with_a_true_label(database: sqlite3.Connection) -> None:
    assert queries.summary(database).accuracy == 0.5


def test_without_results_there_is_no_accuracy(tmp_path: Path) -> None:
    path = tmp_path / "other.sqlite"
    db.create(path, "a.csv")
    with db.connection(path) as database:
        assert queries.summary(database).accuracy is None


def test_labelled_rows_name_labels_that_the_model_does_not_have_last(database: sqlite3.Connection) -> None:
    labelled = queries.labelled(database)
    assert (labelled.names, labelled.true.tolist()) == (("negative", "positive", "mixed"), [1, 0, 0, 2])


def test_labelled_rows_have_their_probabilities_in_the_order_of_the_names(
    database: sqlite3.Connection,
) -> None:
    assert queries.labelled(database).probabilities[0].tolist() == pytest.approx([0.1, 0.9])
