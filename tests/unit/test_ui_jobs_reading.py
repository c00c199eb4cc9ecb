"""How an uploaded file gets into the database of its job, with all rows that the service would refuse."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fake_classifier import prediction

from classifier.schema import MAX_TEXT_CHARS
from datafiles import DataFileError, Fault, Options, Problem, Row
from ui.jobs import Choices, JobError, ProblemKind, Stage
from ui.jobs import database as db
from ui.jobs.folder import JobFolder
from ui.jobs.reading import check_row, read_upload
from ui.jobs.store import Interrupted, Store, open_store

AMPLE = 2**30
TEXT_ONLY = Choices("text")


def never() -> bool:
    return False


Make = Callable[..., JobFolder]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Make a job that was started."""

    def make(content: bytes, choices: Choices = TEXT_ONLY, name: str = "a.csv") -> JobFolder:
        folder = JobFolder(tmp_path)
        folder.upload.write_bytes(content)
        db.create(folder.database, name)
        with db.connection(folder.database) as database:
            db.start(database, choices)
        return folder

    return make


@pytest.fixture
def store(make: Make) -> Iterator[Store]:
    """The store of a job with three rows, of which the second is blank."""
    folder = make(b"text,label\ngood,Positive\n  ,negative\nbad,\n", Choices("text", "label"))
    with open_store(folder.database) as store:
        read_upload(folder, store, AMPLE, never)
        yield store


@pytest.mark.parametrize(
    ("value", "kind", "problem"),
    [
        (None, ProblemKind.MISSING, "The row has no text."),
        (float("nan"), ProblemKind.MISSING, "The row has no text."),
        (7, ProblemKind.NOT_TEXT, "The value is not text: 7"),
        (True, ProblemKind.NOT_TEXT, "The value is not text: True"),
        (
            " \t\n",
            ProblemKind.BLANK,
            "The text is blank; it needs at least one character that is not white space.",
        ),
        (
            "x" * (MAX_TEXT_CHARS + 1),
            ProblemKind.TOO_LONG,
            "The text has 10001 characters; at most 10000 are allowed.",
        ),
        (
            "half \ud83d",
            ProblemKind.NOT_UNICODE,
            "The text contains half of a surrogate pair, which is not a character.",
        ),
    ],
)
def test_a_text_that_the_service_would_refuse_gets_its_problem(
    value: object, kind: ProblemKind, problem: str
) -> None:
    checked = check_row(0, None, Row(1, 2, (value,)))
    assert (checked.kind, checked.problem) == (kind, problem)


@pytest.mark.parametrize("text", ["x" * MAX_TEXT_CHARS, "  x  ", "a\0b", "=1+1", "\u202e", "😀", "12"])
def test_a_strange_text_that_the_service_takes_has_no_problem(text: str) -> None:
    assert check_row(0, None, Row(1, 2, (text,))).kind is None


def test_a_row_that_is_not_as_the_columns_say_has_the_problem_of_its_reader() -> None:
    checked = check_row(
        0, None, Row(1, 2, ("a", None), Problem(Fault.COLUMNS, "1 column, where the header has 2"))
    )
    assert (checked.kind, checked.problem) == (ProblemKind.BAD_ROW, "1 column, where the header has 2")


def test_of_a_text_that_is_too_long_the_beginning_and_the_length_are_kept() -> None:
    checked = check_row(0, None, Row(1, 2, ("x" * 1_000_000,)))
    assert (len(checked.row.text), checked.length) == (MAX_TEXT_CHARS, 1_000_000)


def test_a_label_that_is_a_number_is_a_text_in_results() -> None:
    assert check_row(0, 1, Row(1, 2, ("a", 1))).row.true_label == "1"


@pytest.mark.parametrize("label", [None, " ", float("nan")])
def test_a_label_that_is_missing_is_no_label(label: object) -> None:
    assert check_row(0, 1, Row(1, 2, ("a", label))).row.true_label is None


def test_rows_and_rows_with_problems_are_counted(store: Store) -> None:
    assert (store.state.rows, store.state.failed) == (3, 1)


def test_only_rows_without_a_problem_wait_to_be_sent(store: Store) -> None:
    assert [row.text for row in store.open_texts(0, 10)] == ["good", "bad"]


def test_a_file_is_read_to_its_end_only_once(store: Store) -> None:
    assert store.state.is_read


def test_a_column_that_is_not_in_the_file_is_named(make: Make) -> None:
    folder = make(b"text,label\na,b\n", Choices("review"))
    with (
        open_store(folder.database) as store,
        pytest.raises(DataFileError, match=r"a\.csv has no column 'review'; its columns are text, label"),
    ):
        read_upload(folder, store, AMPLE, never)


def test_a_file_with_only_a_header_has_no_rows(make: Make) -> None:
    folder = make(b"text,label\n")
    with open_store(folder.database) as store, pytest.raises(DataFileError, match=r"a\.csv has no rows"):
        read_upload(folder, store, AMPLE, never)


def test_a_file_that_takes_too_much_room_is_refused(make: Make) -> None:
    folder = make(b"text\n" + b"some text\n" * 10_000)
    with (
        open_store(folder.database) as store,
        pytest.raises(DataFileError, match="takes more than 100,000 bytes"),
    ):
        read_upload(folder, store, 100_000, never)


def test_a_reading_that_was_interrupted_begins_again(make: Make) -> None:
    folder = make(b"text\n" + b"some text\n" * 5000)
    ends = iter([False, True])
    with open_store(folder.database) as store:
        with pytest.raises(Interrupted):
            read_upload(folder, store, AMPLE, lambda: next(ends))
        read_upload(folder, store, AMPLE, never)
        assert store.state.rows == 5000


def test_the_options_of_the_user_are_used(make: Make) -> None:
    folder = make(b"one|1\ntwo|2\n", Choices("column 1", None, Options(delimiter="|", has_header=False)))
    with open_store(folder.database) as store:
        read_upload(folder, store, AMPLE, never)
        assert [row.text for row in store.open_texts(0, 10)] == ["one", "two"]


def test_a_job_that_is_cancelled_stays_so(store: Store, tmp_path: Path) -> None:
    with db.connection(JobFolder(tmp_path).database) as database:
        db.cancel(database)
    store.enter(Stage.RUNNING)
    store.end(Stage.FINISHED)
    assert store.state.stage is Stage.CANCELLED


def test_a_true_label_is_written_as_the_model_writes_it(store: Store, tmp_path: Path) -> None:
    store.add_model("fake:1", ["negative", "positive"])
    rows = store.open_texts(0, 1)
    store.add_predictions(rows, [prediction(row.text) for row in rows], 1.0)
    with db.connection(JobFolder(tmp_path).database) as database:
        assert database.execute("SELECT true_label FROM results WHERE number = 1").fetchone() == ("positive",)


def test_a_database_that_was_deleted_is_said_to_be_so(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="was deleted"), open_store(tmp_path / "job.sqlite"):
        pass


def test_a_database_that_is_damaged_is_said_to_be_so(tmp_path: Path) -> None:
    path = tmp_path / "job.sqlite"
    path.write_bytes(b"not a database" * 1000)
    with pytest.raises(JobError, match="cannot be used: file is not a database"), open_store(path):
        pass


def test_a_database_with_other_tables_cannot_be_used(make: Make) -> None:
    path = make(b"text\ngood\n").database
    with db.connection(path) as database:
        database.execute("ALTER TABLE job DROP COLUMN has_several_labels")
    with (
        pytest.raises(JobError, match="cannot be used: no such column: has_several_labels"),
        db.connection(path) as database,
    ):
        db.state(database)
