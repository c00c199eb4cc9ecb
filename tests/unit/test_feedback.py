"""The store of predictions and of the labels that clients give for them."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from several import several_labels_artifact
from structlog.testing import capture_logs

from classifier.errors import SettingsError, UnknownLabel
from classifier.pipeline import Classifier, Prediction
from classifier.schema import FeedbackAnswer, FeedbackRequest
from classifier.settings import DAY_SECONDS, FeedbackSettings, Settings
from serving.errors import FeedbackOff, InvalidRequest, PredictionNotFound, ServiceUnavailable, as_http
from serving.feedback import MAX_WAITING, Feedback, FeedbackStore, check_feedback, open_feedback
from serving.request.endpoints import take_feedback
from serving.telemetry.recorder import new_recorder

LABELS = ("negative", "positive")
DIGEST = "d" * 64


def ignore(_: object) -> None:
    """Takes what a store says about feedback and about predictions that it dropped."""


def predicted(*labels: str, confidence: float = 0.75) -> list[Prediction]:
    other = {"negative": "positive", "positive": "negative"}
    return [
        Prediction(label, LABELS.index(label), {label: confidence, other[label]: 1 - confidence})
        for label in labels
    ]


def rows(path: Path) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        columns = "request_id, place, label, confidence, digest, true_label"
        return connection.execute(f"SELECT {columns} FROM predictions ORDER BY number").fetchall()  # noqa: S608


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "feedback.db"


@pytest.fixture
def log() -> Iterator[list[MutableMapping[str, object]]]:
    """The lines that are logged in the test."""
    with capture_logs() as lines:
        yield lines


Open = Callable[..., FeedbackStore]


@pytest.fixture
def opened(path: Path) -> Iterator[Open]:
    """Opens stores, which are closed after the test."""
    stores: list[FeedbackStore] = []

    def open_(
        now: Callable[[], float] = lambda: 0.0,
        on_feedback: Callable[[bool], None] = ignore,
        on_dropped: Callable[[int], None] = ignore,
        **settings,
    ) -> FeedbackStore:
        chosen = FeedbackSettings(**{"path": str(path)} | settings)
        stores.append(FeedbackStore(chosen, DIGEST, on_feedback, on_dropped, now))
        return stores[-1]

    yield open_
    for store in stores:
        store.close()


def give(store: FeedbackStore, request_id: str, label: str, index: int = 0) -> Feedback:
    return asyncio.run(store.give(request_id, index, label))


def test_the_label_of_each_text_is_compared_with_its_prediction(opened: Open) -> None:
    store = opened()
    store.record("a", predicted("positive", "negative"))
    assert give(store, "a", "positive") == Feedback("positive", True, True)
    assert give(store, "a", "positive", 1) == Feedback("negative", False, True)


def test_predictions_are_kept_with_digest_and_label_and_without_text(opened: Open, path: Path) -> None:
    store = opened()
    store.record("a", predicted("positive"))
    give(store, "a", "negative")
    store.close()
    assert rows(path) == [("a", 0, "positive", 0.75, DIGEST, "negative")]


def test_a_later_label_replaces_the_first_and_only_the_first_is_counted(opened: Open, path: Path) -> None:
    counted: list[bool] = []
    store = opened(on_feedback=counted.append)
    store.record("a", predicted("positive"))
    assert give(store, "a", "negative").is_first
    assert give(store, "a", "positive") == Feedback("positive", True, False)
    store.close()
    assert counted == [False]
    assert rows(path)[0][-1] == "positive"


@pytest.mark.parametrize(("request_id", "index"), [("b", 0), ("a", 1)])
def test_an_unknown_prediction_is_refused_with_the_reason(opened: Open, request_id: str, index: int) -> None:
    store = opened()
    store.record("a", predicted("positive"))
    with pytest.raises(PredictionNotFound, match="each replica remembers only its own requests"):
        give(store, request_id, "positive", index)


def test_predictions_are_known_after_a_restart(opened: Open) -> None:
    first = opened()
    first.record("a", predicted("positive"))
    first.close()
    assert give(opened(), "a", "positive").was_right


def test_of_an_id_that_is_used_again_only_the_later_predictions_are_known(opened: Open, path: Path) -> None:
    store = opened()
    store.record("a", predicted("positive"))
    store.record("a", predicted("negative"))
    assert give(store, "a", "negative").was_right
    store.close()
    assert len(rows(path)) == 1


def test_a_later_request_replaces_all_texts_of_an_earlier_one_with_its_id(opened: Open, path: Path) -> None:
    store = opened()
    store.record("mix", predicted("positive", "positive", "positive"))
    store.record("mix", predicted("negative"))
    for index in (1, 2):
        with pytest.raises(PredictionNotFound):
            give(store, "mix", "positive", index)
    store.close()
    assert [row[:3] for row in rows(path)] == [("mix", 0, "negative")]


def test_an_id_is_counted_no_more_once_it_was_reused_after_a_label(opened: Open) -> None:
    counted: list[bool] = []
    store = opened(on_feedback=counted.append)
    for labels in (("positive", "positive"), ("positive",), ("negative", "negative", "negative")):
        store.record("a", predicted(*labels))
        found = [give(store, "a", "positive", index) for index in reversed(range(len(labels)))]
    assert counted == [True, True]
    assert not any(one.is_first for one in found)


def test_an_id_that_was_reused_before_any_label_is_counted_once(opened: Open) -> None:
    counted: list[bool] = []
    store = opened(on_feedback=counted.append)
    store.record("a", predicted("positive"))
    store.record("a", predicted("negative"))
    give(store, "a", "positive")
    assert counted == [False]


def test_a_label_counts_although_its_sender_hangs_up(opened: Open, path: Path) -> None:
    counted: list[bool] = []
    store = opened(on_feedback=counted.append)
    store.record("a", predicted("positive"))

    async def hang_up() -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            giving = asyncio.create_task(store.give("a", 0, "positive"))
            await asyncio.sleep(0)
            giving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await giving
            assert counted == []
            other.execute("ROLLBACK")
        await store.give("a", 0, "positive")

    asyncio.run(hang_up())
    assert counted == [True]


def test_a_label_waits_for_a_prediction_that_another_process_still_writes(opened: Open) -> None:
    first, second = opened(), opened()

    async def give_early() -> Feedback:
        giving = asyncio.create_task(second.give("a", 0, "positive"))
        await asyncio.sleep(0.2)
        first.record("a", predicted("positive"))
        return await giving

    assert asyncio.run(give_early()) == Feedback("positive", True, True)


@pytest.mark.parametrize("writes_itself", [False, True])
def test_a_later_label_replaces_one_that_waits_for_the_prediction(
    opened: Open, path: Path, writes_itself: bool
) -> None:
    other, store = opened(), opened()

    async def give_two(request_id: str) -> None:
        first = asyncio.create_task(store.give(request_id, 0, "negative"))
        await asyncio.sleep(0.03)
        (store if writes_itself else other).record(request_id, predicted("negative"))
        await asyncio.sleep(0 if writes_itself else 0.01)
        await asyncio.gather(first, store.give(request_id, 0, "positive"))

    for number in range(10):
        asyncio.run(give_two(str(number)))
    assert {row[-1] for row in rows(path)} == {"positive"}


def test_a_store_that_closes_answers_the_labels_that_wait_for_a_prediction(opened: Open) -> None:
    store = opened()

    async def give_and_close() -> None:
        giving = asyncio.create_task(store.give("never", 0, "positive"))
        await asyncio.sleep(0.2)
        store.close()
        await giving

    with pytest.raises(PredictionNotFound):
        asyncio.run(asyncio.wait_for(give_and_close(), 5))


def test_only_the_owner_may_read_the_database(opened: Open, path: Path) -> None:
    opened().record("a", predicted("positive"))
    give(opened(), "a", "positive")
    modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
    assert modes == {"feedback.db": 0o600, "feedback.db-wal": 0o600, "feedback.db-shm": 0o600}


def test_a_database_of_another_version_is_refused(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE predictions (number INTEGER PRIMARY KEY, request_id, place, time)")
    with pytest.raises(SettingsError, match="no such column"):
        check_feedback(FeedbackSettings(path=str(path)))


def test_older_predictions_are_deleted(opened: Open, path: Path) -> None:
    clock = [0.0]
    store = opened(now=lambda: clock[0], keep_days=1)
    store.record("old", predicted("positive"))
    assert give(store, "old", "positive").was_right
    clock[0] = DAY_SECONDS - 1
    store.record("new", predicted("positive"))
    assert give(store, "old", "positive").was_right
    clock[0] = DAY_SECONDS + 1
    store.record("newest", predicted("positive"))
    store.close()
    assert [row[0] for row in rows(path)] == ["new", "newest"]


@given(
    st.integers(1, 20),
    st.lists(st.tuples(st.integers(0, 30), st.integers(1, 5)), min_size=1, max_size=30),
)
def test_never_more_rows_are_kept_than_allowed_and_they_are_the_newest(
    tmp_path_factory: pytest.TempPathFactory, max_rows: int, requests: list[tuple[int, int]]
) -> None:
    path = tmp_path_factory.mktemp("rows") / "feedback.db"
    store = FeedbackStore(FeedbackSettings(path=str(path), max_rows=max_rows), DIGEST, ignore, ignore)
    newest: dict[tuple[str, int], None] = {}
    for number, texts in requests:
        store.record(str(number), predicted(*["positive"] * texts))
        newest = {key: None for key in newest if key[0] != str(number)}
        newest |= {(str(number), place): None for place in range(texts)}
    store.close()
    kept = [(row[0], row[1]) for row in rows(path)]
    assert len(kept) <= max_rows
    assert kept == list(newest)[-len(kept) :]


def test_a_full_queue_drops_and_counts_what_comes_and_refuses_labels(
    opened: Open, path: Path, log: list[MutableMapping[str, object]]
) -> None:
    counted: list[int] = []
    store = opened(on_dropped=counted.append)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")  # the writer waits for this transaction
        store.record("first", predicted("positive"))
        while store._queue.qsize():
            pass
        for number in range(MAX_WAITING + 7):
            store.record(str(number), predicted("positive"))
        with pytest.raises(ServiceUnavailable, match="wait to be written"):
            give(store, "first", "positive")
        other.execute("ROLLBACK")
    store.close()
    assert len(rows(path)) == MAX_WAITING + 1
    assert (store.dropped, sum(counted)) == (7, 7)
    assert [(line["event"], line["count"]) for line in log] == [
        ("feedback_dropped", 1),
        ("feedback_dropped", 6),
    ]
    assert "10,000" in str(log[0]["reason"])


def test_a_database_that_cannot_be_written_drops_predictions_and_recovers(
    opened: Open, path: Path, log: list[MutableMapping[str, object]]
) -> None:
    counted: list[int] = []
    store = opened(on_dropped=counted.append)
    with closing(sqlite3.connect(path)) as other:
        other.execute("ALTER TABLE predictions RENAME TO hidden")
        store.record("a", predicted("positive"))
        with pytest.raises(ServiceUnavailable, match="cannot be stored now: no such table"):
            give(store, "a", "positive")
        assert (store.dropped, counted) == (1, [1])
        other.execute("ALTER TABLE hidden RENAME TO predictions")
    assert [line["count"] for line in log] == [1]
    assert "no such table" in str(log[0]["reason"])
    store.record("b", predicted("positive"))
    assert give(store, "b", "positive").was_right


def test_while_predictions_are_dropped_their_number_is_logged_once_a_minute_and_at_the_end(
    opened: Open, path: Path, log: list[MutableMapping[str, object]]
) -> None:
    clock = [0.0]
    store = opened(now=lambda: clock[0])
    with closing(sqlite3.connect(path)) as other:
        other.execute("DROP TABLE predictions")
    for number, seconds in enumerate((0.0, 1.0, 59.0, 60.0, 61.0)):
        clock[0] = seconds
        store.record(str(number), predicted("positive"))
        while store.dropped == number:
            pass
    store.close()
    assert [line["count"] for line in log] == [1, 3, 1]


def test_an_unknown_prediction_may_have_been_dropped_and_the_error_says_so(opened: Open, path: Path) -> None:
    store = opened()
    with closing(sqlite3.connect(path)) as other:
        other.execute("ALTER TABLE predictions RENAME TO hidden")
        store.record("a", predicted("positive"))
        while not store.dropped:
            pass
        other.execute("ALTER TABLE hidden RENAME TO predictions")
    with pytest.raises(PredictionNotFound, match=r", or it was not stored, because .*: 1\)$"):
        give(store, "a", "positive")


def test_after_the_store_is_closed_nothing_is_recorded_and_labels_are_refused(
    opened: Open, path: Path
) -> None:
    store = opened()
    store.close()
    store.close()
    store.record("a", predicted("positive"))
    with pytest.raises(ServiceUnavailable):
        give(store, "a", "positive")
    assert (store.dropped, rows(path)) == (1, [])


def test_the_end_waits_neither_for_a_locked_database_nor_for_a_full_queue(
    opened: Open, path: Path, log: list[MutableMapping[str, object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.feedback.LOCK_SECONDS", 3600.0)
    monkeypatch.setattr("serving.feedback.LAST_WRITES_SECONDS", 0.01)
    store = opened()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for number in range(MAX_WAITING):
            store.record(str(number), predicted("positive"))
        store.close()
        assert store.dropped == MAX_WAITING
    assert sum(line["count"] for line in log) == MAX_WAITING
    assert rows(path) == []


ENDLESS = """
CREATE TRIGGER endless AFTER INSERT ON predictions BEGIN
SELECT count(*) FROM (WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x FROM n);
END
"""


def is_being_written(database: sqlite3.Connection) -> bool:
    try:
        database.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError:
        return True
    database.execute("ROLLBACK")
    return False


def test_the_end_interrupts_a_write_that_takes_too_long(
    opened: Open, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.feedback.LAST_WRITES_SECONDS", 0.01)
    store = opened()
    with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as other:
        other.execute(ENDLESS)
        store.record("a", predicted("positive"))
        while not is_being_written(other):
            pass
    store.close()
    assert (store.dropped, rows(path)) == (1, [])


def test_two_stores_and_several_threads_can_write_to_one_database(opened: Open, path: Path) -> None:
    first, second = opened(), opened()
    threads = [
        threading.Thread(
            target=lambda store, name: [
                store.record(f"{name}-{number}", predicted("positive")) for number in range(200)
            ],
            args=(store, name),
        )
        for store, name in ((first, "a"), (first, "b"), (second, "c"), (second, "d"))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    first.close()
    second.close()
    assert {row[0] for row in rows(path)} == {f"{name}-{number}" for name in "abcd" for number in range(200)}
    assert first.dropped == second.dropped == 0


KILLED = """
import asyncio, sys
from classifier.pipeline import Classifier, Prediction
from classifier.settings import FeedbackSettings
from serving.feedback import FeedbackStore
store = FeedbackStore(FeedbackSettings(path=sys.argv[1]), "d" * 64, lambda _: None, lambda _: None)
prediction = Prediction("positive", 1, {"negative": 0.25, "positive": 0.75})
number = 0
while True:
    store.record(str(number), [prediction] * 20)
    if number % 50 == 0:
        asyncio.run(store.give(str(number), 0, "positive"))
        print(number, flush=True)
    number += 1
"""


def test_a_process_that_is_killed_leaves_every_stored_label_readable(
    opened: Open, path: Path, project: Path
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(path)], cwd=project, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        stored = [process.stdout.readline().strip() for _ in range(20)]
        os.kill(process.pid, signal.SIGKILL)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    labelled = {row[0] for row in rows(path) if row[-1] == "positive"}
    assert labelled >= set(stored)
    assert give(opened(), stored[-1], "positive") == Feedback("positive", True, False)


@pytest.mark.parametrize("content", [None, b"this is not a database, but it is long enough " * 100])
def test_a_path_that_cannot_be_used_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "missing" / "feedback.db" if content is None else tmp_path / "notes.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError, match=r"^feedback\.path is '.*', which cannot be used as an SQLite"):
        check_feedback(FeedbackSettings(path=str(path)))


def test_without_a_path_there_is_no_store() -> None:
    check_feedback(FeedbackSettings())
    assert open_feedback(FeedbackSettings(), DIGEST, ignore, ignore) is None


def test_no_predictions_are_kept_of_a_model_with_several_labels(path: Path) -> None:
    settings = Settings(feedback=FeedbackSettings(path=str(path)))
    recorder = new_recorder(settings, Classifier(several_labels_artifact()))
    try:
        assert recorder.feedback is None
    finally:
        recorder.close()


# The endpoint


def answer(store: FeedbackStore | None, **fields: object) -> FeedbackAnswer:
    request = FeedbackRequest.model_validate({"request_id": "a", "label": "positive"} | fields)
    return asyncio.run(take_feedback(store, LABELS, request))


def test_the_answer_has_the_prediction_and_whether_it_was_right(opened: Open) -> None:
    store = opened()
    store.record("a", predicted("positive", "negative"))
    found = answer(store, index=1)
    TypeAdapter(FeedbackAnswer).validate_python(found, strict=True)
    assert found == {"was_right": False, "predicted": "negative"}


def test_without_a_store_the_error_names_the_setting() -> None:
    with pytest.raises(FeedbackOff, match=r"feedback\.path"):
        answer(None)


def test_a_label_that_the_model_does_not_have_is_refused_and_cut(opened: Open) -> None:
    with pytest.raises(UnknownLabel) as caught:
        answer(opened(), label="x" * 10_000)
    refused = as_http(caught.value)
    assert isinstance(refused, InvalidRequest)
    (error,) = refused.errors
    assert (error.loc, error.type) == (("body", "label"), "unknown_label")
    assert error.msg.startswith("label is 'xxx")
    assert "none of the 2 labels" in error.msg
    assert len(error.msg) < 300


@pytest.mark.parametrize(
    "request_id",
    ["", "a" * 129, "a b", "a\n", "é", "a'; DROP TABLE predictions; --", "../a", "%00", "\x00", 5, None],
)
def test_an_id_that_no_answer_has_is_refused(request_id: object) -> None:
    with pytest.raises(ValidationError, match="request_id"):
        FeedbackRequest.model_validate({"request_id": request_id, "label": "positive"})


@pytest.mark.parametrize("index", [-1, 100, 0.5, "0", True])
def test_an_index_that_no_text_has_is_refused(index: object) -> None:
    with pytest.raises(ValidationError, match="index"):
        FeedbackRequest.model_validate({"request_id": "a", "label": "positive", "index": index})


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=130))
def test_the_store_itself_keeps_any_id_apart(
    tmp_path_factory: pytest.TempPathFactory, request_id: str
) -> None:
    path = tmp_path_factory.mktemp("ids") / "feedback.db"
    store = FeedbackStore(FeedbackSettings(path=str(path)), DIGEST, ignore, ignore)
    store.record("a", predicted("negative"))
    store.record(request_id, predicted("positive"))
    assert give(store, request_id, "positive").was_right
    store.close()
    assert {row[0] for row in rows(path)} == {"a", request_id}
