"""How the texts of a job are sent to a service that is full, away or broken, or refuses some of them."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest
from fake_classifier import MODEL, RESET, FakeClassifier, Reply, fake_classifier, predictions, problem
from pydantic import AnyHttpUrl

from classifier.schema import MAX_TEXT_CHARS, MAX_TEXTS
from ui.client import Client
from ui.jobs import Choices, JobError, Order, ProblemKind, Result, Stage, queries
from ui.jobs import Filter as Where
from ui.jobs import database as db
from ui.jobs.batches import MAX_BATCH_BYTES
from ui.jobs.sending import MAX_FAILED_IN_A_ROW, GaveUp, Patience, Sender
from ui.jobs.store import Interrupted, NewRow, Store, Text, open_store
from ui.settings import Settings

HASTY = Patience(paused_seconds=0.0, unreachable_seconds=60.0, retry_seconds=0.01)


@dataclass
class Sending:
    """A job that is read, and a service."""

    path: Path
    store: Store
    service: FakeClassifier
    requests_in_flight: int = 4
    patience: Patience = HASTY

    def add(self, texts: Sequence[str]) -> None:
        self.store.add_rows(
            [NewRow(Text(number, None, text), len(text)) for number, text in enumerate(texts, start=1)], 1.0
        )

    def run(self, should_end: Callable[[], bool] = lambda: False) -> None:
        client = Client(Settings(url=AnyHttpUrl(self.service.url)), patience_seconds=0)
        try:
            Sender(self.store, client, self.requests_in_flight, should_end, self.patience).run()
        finally:
            client.close()

    def results(self) -> list[Result]:
        with db.connection(self.path) as database:
            return queries.page(database, Where(), Order(), 0, 10_000)

    def problems(self) -> Mapping[str, str | None]:
        return {result.text: result.problem for result in self.results() if result.problem}


@pytest.fixture
def sending(tmp_path: Path) -> Iterator[Sending]:
    path = tmp_path / "job.sqlite"
    db.create(path, "a.csv")
    with fake_classifier() as service, open_store(path) as store:
        with db.connection(path) as database:
            db.start(database, Choices("text"))
        yield Sending(path, store, service)


def texts(number: int) -> list[str]:
    return [f"text {place}{' good' * (place % 3)}" for place in range(number)]


def first(replies: Sequence[Reply]) -> Callable[[list[str]], Reply]:
    """Answer the first requests with these, and the others as they should be."""
    remaining = iter(replies)
    return lambda batch: next(remaining, None) or predictions(batch)


def unless(poison: str, reply: Reply) -> Callable[[list[str]], Reply]:
    """Answer so each batch that has this text."""
    return lambda batch: reply if poison in batch else predictions(batch)


def test_each_row_gets_the_prediction_for_its_text(sending: Sending) -> None:
    sending.add(texts(1050))
    sending.run()
    assert [(result.text, result.label) for result in sending.results()] == [
        (text, "positive" if "good" in text else "negative") for text in texts(1050)
    ]


def test_answers_that_come_in_another_order_go_to_their_rows(sending: Sending) -> None:
    second = threading.Event()

    def answer(batch: list[str]) -> Reply:
        if batch[0] == "text 0":
            second.wait(10)
        else:
            second.set()
        return predictions(batch)

    sending.service.answer = answer
    sending.add(texts(200))
    sending.run()
    assert [result.text for result in sending.results()] == texts(200)


def test_each_text_is_sent_once(sending: Sending) -> None:
    sending.add(texts(1050))
    sending.run()
    assert set(sending.service.sent.values()) == {1}


def test_counters_agree_with_the_results(sending: Sending) -> None:
    sending.service.answer = unless("text 3", problem(413, "too much"))
    sending.add(texts(250))
    sending.run()
    assert (sending.store.state.classified, sending.store.state.failed) == (249, 1)


def test_only_rows_without_a_result_are_sent(sending: Sending) -> None:
    sending.add(texts(300))
    sending.run()
    sending.service.batches.clear()
    sending.store.add_rows([NewRow(Text(301, None, "new"), 3)], 1.0)
    sending.run()
    assert sending.service.batches == [["new"]]


def test_a_job_without_an_open_row_asks_nothing_of_the_service(sending: Sending) -> None:
    sending.service.describe = lambda: problem(401, "no key")
    sending.run()
    assert sending.store.state.models == ()


def test_a_request_has_at_most_a_hundred_texts(sending: Sending) -> None:
    sending.add(texts(250))
    sending.run()
    assert sorted(map(len, sending.service.batches)) == [50, MAX_TEXTS, MAX_TEXTS]


def test_a_request_has_at_most_a_mebibyte_of_texts(sending: Sending) -> None:
    sending.add(["😀" * MAX_TEXT_CHARS] * 60)
    sending.run()
    assert (
        max(sum(len(text.encode()) for text in batch) for batch in sending.service.batches) <= MAX_BATCH_BYTES
    )


@pytest.mark.parametrize("most", [1, 3])
def test_no_more_requests_are_in_flight_than_the_setting_says(sending: Sending, most: int) -> None:
    sending.requests_in_flight = most
    sending.add(texts(2000))
    sending.run()
    assert sending.service.most_in_flight <= most


def test_the_model_that_answers_is_noted(sending: Sending) -> None:
    sending.add(texts(1))
    sending.run()
    assert (sending.store.state.models, sending.store.state.labels) == (("fake:1",), ("negative", "positive"))


def test_rows_that_a_rejection_names_get_its_rules_and_the_others_are_classified(sending: Sending) -> None:
    def answer(batch: list[str]) -> Reply:
        errors = [
            {"loc": ["body", "texts", place], "msg": f"texts[{place}] is odd", "type": "odd"}
            for place, text in enumerate(batch)
            if "odd" in text
        ]
        return problem(422, "a rule is broken", errors) if errors else predictions(batch)

    sending.service.answer = answer
    sending.add(["a", "odd b", "c", "odd d"])
    sending.run()
    assert sending.problems() == {"odd b": "The text is odd.", "odd d": "The text is odd."}


@pytest.mark.parametrize("status", [400, 413])
def test_a_rejection_that_names_no_row_finds_the_row_by_halves(sending: Sending, status: int) -> None:
    sending.service.answer = unless("text 77", problem(status, "not this"))
    sending.add(["text 77" if text.startswith("text 77") else text for text in texts(100)])
    sending.run()
    assert sending.problems() == {"text 77": "The service refuses the text: not this."}


def test_a_row_that_the_service_fails_on_is_found_by_halves(sending: Sending) -> None:
    sending.service.answer = unless("text 33", problem(500, "an unexpected error"))
    sending.add(texts(100))
    sending.run()
    assert sending.problems() == {"text 33": "The service failed: an unexpected error."}


def test_a_row_that_makes_the_service_crash_is_found_by_halves(sending: Sending) -> None:
    sending.service.answer = unless("text 3", RESET)
    sending.add(texts(4))
    sending.run()
    assert [result.text for result in sending.results() if result.kind is ProblemKind.FAILED] == ["text 3"]


def test_a_batch_that_fails_twice_is_sent_whole_again(sending: Sending) -> None:
    sending.service.answer = first([problem(500, "an unexpected error")] * 2)
    sending.add(texts(100))
    sending.run()
    assert [len(batch) for batch in sending.service.batches] == [100, 100, 100]


def test_too_few_predictions_are_a_failure_of_the_service(sending: Sending) -> None:
    sending.service.answer = lambda batch: predictions(batch[:-1])
    sending.add(["a", "b"])
    sending.run()
    assert {result.kind for result in sending.results()} == {ProblemKind.FAILED}


@pytest.mark.parametrize("status", [404, 500])
def test_a_service_that_classifies_no_row_stops_the_job(sending: Sending, status: int) -> None:
    sending.service.answer = lambda _: problem(status, "not today")
    sending.add(texts(100))
    with pytest.raises(GaveUp, match=f"{MAX_FAILED_IN_A_ROW} rows in a row were not classified.*not today"):
        sending.run()
    assert sending.store.state.failed == MAX_FAILED_IN_A_ROW


def test_a_full_service_gets_the_texts_again_later(sending: Sending) -> None:
    sending.service.answer = first([problem(503, "the queue is full", Retry_After="0")] * 5)
    sending.add(texts(500))
    sending.run()
    assert sending.store.state.classified == 500


@pytest.mark.parametrize("status", [408, 429, 503, 504])
def test_a_service_that_has_no_time_for_a_text_gets_it_again(sending: Sending, status: int) -> None:
    sending.service.answer = first([problem(status, "no time", Retry_After="0")])
    sending.add(["a"])
    sending.run()
    assert sending.store.state.classified == 1


def test_a_job_is_shown_as_paused_while_the_service_is_full(sending: Sending) -> None:
    sending.service.answer = lambda _: problem(503, "the queue is full", Retry_After="0")
    sending.add(texts(10))
    with pytest.raises(Interrupted):
        sending.run(lambda: sending.store.state.stage is Stage.PAUSED)
    assert sending.store.state.reason == "The service is busy: the queue is full."


def test_a_paused_job_is_shown_as_running_once_the_service_answers(sending: Sending) -> None:
    def answer(batch: list[str]) -> Reply:
        with db.connection(sending.path) as database:
            is_paused = db.state(database).stage is Stage.PAUSED
        return predictions(batch) if is_paused else problem(503, "the queue is full", Retry_After="0")

    sending.service.answer = answer
    sending.add(texts(10))
    sending.run()
    assert sending.store.state.classified == 10


def test_a_service_that_starts_is_waited_for(sending: Sending) -> None:
    replies = iter([problem(503, "the service is starting", Retry_After="0")])
    sending.service.describe = lambda: next(replies, MODEL)
    sending.add(texts(10))
    sending.run()
    assert sending.store.state.classified == 10


def test_texts_are_not_sent_to_a_service_that_is_away(sending: Sending) -> None:
    numbers = count()
    sending.service.describe = lambda: MODEL if next(numbers) >= 2 else RESET
    sending.add(texts(10))
    sending.run()
    assert set(sending.service.sent.values()) == {1}


def test_a_service_that_stays_away_stops_the_job(sending: Sending) -> None:
    sending.patience = Patience(unreachable_seconds=0.3)
    sending.service.describe = lambda: RESET
    sending.add(texts(10))
    with pytest.raises(GaveUp, match=r"gave no sign for 0 minutes\. The service at .* cannot be reached"):
        sending.run()


@pytest.mark.parametrize("refuses", ["describe", "answer"])
def test_a_service_that_wants_a_key_stops_the_job(sending: Sending, refuses: str) -> None:
    setattr(sending.service, refuses, lambda *_: problem(401, "no key"))
    sending.add(texts(10))
    with pytest.raises(GaveUp, match="The service wants an API key: no key"):
        sending.run()


def test_something_else_at_the_address_stops_the_job(sending: Sending) -> None:
    sending.service.describe = lambda: Reply(200, {"hello": "world"}, {"retry-after": "0"})
    sending.add(texts(10))
    with pytest.raises(GaveUp, match="is not this service"):
        sending.run()


def test_answers_that_come_soon_after_the_end_are_stored(sending: Sending) -> None:
    asked, seen = threading.Event(), threading.Event()

    def answer(batch: list[str]) -> Reply:
        asked.set()
        seen.wait(10)
        return predictions(batch)

    def should_end() -> bool:
        if asked.is_set():
            seen.set()
        return asked.is_set()

    sending.service.answer = answer
    sending.add(texts(50))
    with pytest.raises(Interrupted):
        sending.run(should_end)
    assert sending.store.state.classified == 50


def test_a_store_that_fails_is_not_taken_for_a_problem_of_the_rows(sending: Sending) -> None:
    sending.add(texts(10))
    with db.connection(sending.path) as database:
        database.execute("DROP TABLE results")
    with pytest.raises(JobError), open_store(sending.path) as sending.store:
        sending.run()
