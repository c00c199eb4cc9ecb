"""Jobs whose service gives a text several labels, or none: what is stored, found, counted and written."""

import io
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fake_classifier import MODEL, FakeClassifier, Reply, fake_classifier, predictions
from pydantic import AnyHttpUrl
from test_ui_jobs import run, wait_until

from classifier.schema import PredictionAnswer
from datafiles import open_table
from datafiles.table import Row
from ui.jobs import Choices, ExportKind, Filter, Job, Jobs, Order, OrderBy, Stage, queries
from ui.jobs import database as db
from ui.jobs.export import all_columns
from ui.jobs.reading import check_row
from ui.jobs.store import NewRow, Text, open_store
from ui.settings import Settings

LABELS = ["acting", "music", "plot"]

ROWS: list[tuple[str, tuple[str, ...] | None, list[str]]] = [
    ("cast and story", ("Plot", "acting"), ["acting", "plot"]),
    ("songs", ("music", "plot"), ["music"]),
    ("Paris", (), []),
    ("no right labels here", None, ["plot"]),
    ("a label of another model", ("costumes", "plot"), ["plot"]),
]
"""Texts with their right labels and the predicted ones."""


def answer(text: str, labels: list[str]) -> PredictionAnswer:
    probabilities = {label: 0.75 if label in labels else 0.25 for label in LABELS}
    label = labels[-1] if labels else LABELS[0]
    return {
        "text": text,
        "predicted_class": LABELS.index(label),
        "label": label,
        "confidence": probabilities[label],
        "is_confident": True,
        "labels": labels,
        "probabilities": probabilities,
    }


@pytest.fixture
def database(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """Five classified rows."""
    path = tmp_path / "job.sqlite"
    db.create(path, "a.csv")
    texts = [Text(number, None, text, true) for number, (text, true, _) in enumerate(ROWS, start=1)]
    with open_store(path) as store, db.connection(path) as database:
        db.start(database, Choices("text", "label"))
        store.add_model("fake:1", LABELS)
        store.add_rows([NewRow(text, len(text.text)) for text in texts], 1.0)
        store.add_predictions(texts, [answer(text, labels) for text, _, labels in ROWS], 5.0)
        yield database


def numbers(database: sqlite3.Connection, where: Filter) -> list[int]:
    return [result.number for result in queries.page(database, where, Order(), 0, 100)]


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (Filter(labels=frozenset({"acting"})), [1]),
        (Filter(labels=frozenset({"plot"})), [1, 4, 5]),
        (Filter(labels=frozenset({"music", "acting"})), [1, 2]),
        (Filter(labels=frozenset()), []),
        (Filter(only_without_label=True), [3]),
        (Filter(only_mistakes=True), [2, 5]),
        (Filter(only_mistakes=True, labels=frozenset({"music"})), [2]),
    ],
)
def test_a_filter_finds_each_row_that_has_the_label(
    database: sqlite3.Connection, where: Filter, expected: list[int]
) -> None:
    assert numbers(database, where) == expected
    assert queries.count(database, where) == len(expected)


def test_a_row_counts_for_each_of_its_labels(database: sqlite3.Connection) -> None:
    summary = queries.summary(database)
    assert summary.rows_by_label == {"acting": 1, "music": 1, "plot": 3}
    assert summary.without_label == 1


def test_a_row_is_right_if_exactly_its_right_labels_are_predicted(database: sqlite3.Connection) -> None:
    summary = queries.summary(database)
    assert (summary.labelled, summary.right) == (4, 2)


def test_right_labels_are_in_the_order_and_the_writing_of_the_model(database: sqlite3.Connection) -> None:
    result = queries.result(database, 1)
    assert result is not None
    assert (result.labels, result.true_labels) == (("acting", "plot"), ("acting", "plot"))


def test_a_text_without_labels_is_not_one_that_was_not_classified(database: sqlite3.Connection) -> None:
    result = queries.result(database, 3)
    assert result is not None
    assert (result.labels, result.label, result.true_labels) == ((), "acting", ())


def test_rows_are_sorted_by_their_most_probable_label(database: sqlite3.Connection) -> None:
    found = queries.page(database, Filter(), Order(OrderBy.LABEL), 0, 100)
    assert [result.number for result in found] == [3, 2, 1, 4, 5]


def test_labelled_sets_leave_out_rows_with_a_label_of_another_model(database: sqlite3.Connection) -> None:
    sets = queries.labelled_sets(database)
    assert sets.names == tuple(LABELS)
    assert sets.numbers.tolist() == [1, 2, 3]
    assert sets.true.tolist() == [[True, False, True], [False, True, True], [False, False, False]]
    assert sets.predicted.tolist() == [[True, False, True], [False, True, False], [False, False, False]]
    assert sets.probabilities[1].tolist() == [0.25, 0.75, 0.25]
    assert sets.left_out == {"costumes": 1}


def test_such_rows_are_not_among_those_with_one_label(database: sqlite3.Connection) -> None:
    assert len(queries.labelled(database).numbers) == 0


def test_a_job_whose_models_differ_counts_the_rows_of_both(
    database: sqlite3.Connection, tmp_path: Path
) -> None:
    with open_store(tmp_path / "job.sqlite") as store:
        text = Text(6, None, "one label", ("plot",))
        store.add_rows([NewRow(text, 9)], 1.0)
        one = answer("one label", ["plot"])
        del one["labels"]
        store.add_predictions([text], [one], 5.0)
    assert queries.summary(database).rows_by_label["plot"] == 4
    assert numbers(database, Filter(labels=frozenset({"plot"}))) == [1, 4, 5, 6]
    result = queries.result(database, 6)
    assert result is not None
    assert (result.true_label, result.true_labels) == ("plot", None)


@pytest.mark.parametrize(
    ("value", "separator", "labels", "label"),
    [
        ("acting|plot", "|", ("acting", "plot"), None),
        (" acting ; plot;", ";", ("acting", "plot"), None),
        ("plot|plot", "|", ("plot",), None),
        ("", "|", (), None),
        (None, "|", (), None),
        (float("nan"), "|", (), None),
        ("acting|plot", None, None, "acting|plot"),
        ("", None, None, None),
        (["plot", "acting"], None, ("plot", "acting"), None),
        (["plot", None, 7], None, ("plot", "7"), None),
        ([], None, (), None),
    ],
)
def test_a_cell_with_several_right_labels_is_split(
    value: object, separator: str | None, labels: tuple[str, ...] | None, label: str | None
) -> None:
    new = check_row(0, 1, Row(1, 1, ["a text", value]), separator)
    assert (new.row.true_labels, new.row.true_label) == (labels, label)


@pytest.fixture
def service() -> Iterator[FakeClassifier]:
    with fake_classifier() as service:
        description = dict(MODEL.body) | {"classes": LABELS, "thresholds": dict.fromkeys(LABELS, 0.5)}  # type: ignore[call-overload]
        service.describe = lambda: Reply(body=description)
        service.answer = predicted
        yield service


def predicted(texts: list[str]) -> Reply:
    """Each label that is a word of the text."""
    found = [answer(text, [label for label in LABELS if label in text.split()]) for text in texts]
    return Reply(body={"predictions": found, "total_processed": len(found)})


@pytest.fixture
def jobs(tmp_path: Path, service: FakeClassifier) -> Jobs:
    return Jobs(Settings(url=AnyHttpUrl(service.url), ui_jobs_folder=tmp_path / "jobs"))


CSV = b"text,right\nacting and plot,acting|plot\nnothing,\nmusic,plot\n ,plot\n"


def classified(jobs: Jobs, content: bytes = CSV, name: str = "a.csv", separator: str | None = "|") -> Job:
    job = jobs.create(io.BytesIO(content), name)
    run(job, Choices("text", "right", label_separator=separator))
    assert job.progress().stage is Stage.FINISHED
    return job


def test_a_job_knows_that_its_texts_can_have_several_labels(jobs: Jobs) -> None:
    job = classified(jobs)
    assert job.progress().has_several_labels
    assert job.progress().choices == Choices("text", "right", label_separator="|")
    assert (job.summary().labelled, job.summary().right) == (3, 2)
    assert job.labelled_sets().numbers.tolist() == [1, 2, 3]


def test_a_column_of_lists_has_right_labels(jobs: Jobs) -> None:
    content = io.BytesIO()
    pq.write_table(
        pa.table({"text": ["acting and plot", "nothing"], "right": [["plot", "acting"], []]}), content
    )
    job = classified(jobs, content.getvalue(), "a.parquet", None)
    assert (job.summary().labelled, job.summary().accuracy) == (2, 1.0)


@pytest.mark.parametrize("kind", ["csv", "parquet", "xlsx"])
def test_a_file_of_results_has_all_labels_of_a_row_in_one_column(jobs: Jobs, kind: ExportKind) -> None:
    job = classified(jobs)
    wait_until(lambda: not job.export(kind).is_running, "the file is written")
    path = job.export(kind).path
    assert path is not None
    with open_table(path) as table:
        columns, rows = table.columns, [row.values for row in table.rows()]
    assert columns[:4] == ("text", "right", "labels", "label")
    assert [row[2] or "" for row in rows] == ["acting|plot", "", "music", ""]
    assert [row[3] or "" for row in rows] == ["plot", "acting", "music", ""]


def test_in_parquet_a_text_without_labels_differs_from_one_without_an_answer(jobs: Jobs) -> None:
    job = classified(jobs)
    wait_until(lambda: not job.export("parquet").is_running, "the file is written")
    assert pq.read_table(job.export("parquet").path).column("labels").to_pylist()[1:] == ["", "music", None]


def test_a_label_with_the_separator_in_it_is_told(jobs: Jobs, service: FakeClassifier) -> None:
    def strange(texts: list[str]) -> Reply:
        found = [answer(text, ["plot"]) for text in texts]
        for one in found:
            one["probabilities"]["a|b"] = 0.5
        return Reply(body={"predictions": found, "total_processed": len(found)})

    service.answer = strange
    job = classified(jobs)
    wait_until(lambda: not job.export("csv").is_running, "the file is written")
    assert job.export("csv").notices == (
        "A label of the model contains “|”, which also separates the labels of a row.",
    )


def test_the_columns_of_one_label_stay_as_they_are(jobs: Jobs, service: FakeClassifier) -> None:
    service.answer, service.describe = predictions, lambda: MODEL
    job = jobs.create(io.BytesIO(b"text\ngood\n"), "a.csv")
    run(job, Choices("text"))
    wait_until(lambda: not job.export("csv").is_running, "the file is written")
    path = job.export("csv").path
    assert path is not None
    with open_table(path) as table:
        assert table.columns == tuple(
            all_columns(["text"], ["negative", "positive"], has_several_labels=False)
        )
        assert "labels" not in table.columns
