"""No client gets another client's answer, even if clients disconnect or send texts that cause faults."""

import asyncio
import csv
import math
import random
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import orjson
import pytest
from checkouts import save
from networks import mean_network
from poison import WORD, Fault
from tiny import tiny_artifact, with_golden

from classifier.artifact import write_artifact
from classifier.pipeline import Classifier, load_classifier
from classifier.runtimes.network import NETWORK
from classifier.runtimes.onnx import OnnxSettings
from classifier.text import TextSettings

CONNECTIONS = 64
PATHS = {"/predict": 80, "/predict/batch": 12, "/predict/top-k": 6, "/classify": 2}
"""The routes, and how often each is asked in a hundred requests."""
MAX_TEXTS = 20
SHARE_POISONED = 0.01
SHARE_DISCONNECTING = 0.02
PIECE_WORDS = 10
TIMEOUT_SECONDS = 600
"""Much longer than all the answers take, so that a missing answer fails the test."""
TOLERANCE = 1e-6
"""Largest difference between a network's probabilities of a text in two batches."""

CAUSES = {
    Fault.RAISES.text: "ZeroDivisionError",
    Fault.WRONG_LENGTH.text: "classifier.errors.WrongResultCount",
    Fault.NAN.text: "FloatingPointError",
    Fault.INFINITE.text: "FloatingPointError",
}
"""The texts that the model cannot answer, and the error that each one causes."""

Probabilities = Mapping[str, float]


@dataclass(frozen=True)
class Question:
    """A client's request, and whether the client disconnects before the answer."""

    path: str
    texts: Sequence[str]
    disconnects: bool

    @property
    def cause(self) -> str | None:
        """The error that one of the texts causes, if any."""
        return next((CAUSES[text] for text in self.texts if text in CAUSES), None)

    @property
    def request(self) -> bytes:
        has_texts = self.path in {"/predict/batch", "/classify"}
        body = orjson.dumps({"texts": self.texts} if has_texts else {"text": self.texts[0]})
        head = f"POST {self.path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


@dataclass(frozen=True)
class Answer:
    """An answer that is not yet parsed, because parsing would slow the clients down."""

    status: int
    body: bytes

    @property
    def id(self) -> str:
        """The id of an error."""
        return str(orjson.loads(self.body)["id"])

    def predictions(self, path: str) -> list[tuple[str, Probabilities]]:
        """The texts in the answer, each with its probabilities."""
        document = orjson.loads(self.body)
        match path:
            case "/predict/top-k":
                ranked = {row["label"]: row["probability"] for row in document["top_predictions"]}
                return [(document["text"], ranked)]
            case "/predict":
                items = [document]
            case "/predict/batch":
                items = document["predictions"]
            case _:
                items = document
        return [(item["text"], item["probabilities"]) for item in items]


@dataclass(frozen=True)
class Load:
    """A server after many requests, and its answers."""

    server: Any
    count: int
    right: Mapping[str, Probabilities]
    """The right probabilities of each text."""
    asked: Sequence[tuple[Question, Answer | None]]
    """The answer is None if the client disconnected."""
    metrics: str
    """The metrics after all requests were answered."""

    @property
    def answered(self) -> list[tuple[Question, Answer]]:
        return [(question, answer) for question, answer in self.asked if answer is not None]

    def is_right(self, question: Question, answer: Answer) -> bool:
        """Whether an answer has the right probabilities of the question's texts, in their order."""
        if answer.status != 200:
            return False
        given = answer.predictions(question.path)
        return [text for text, _ in given] == list(question.texts) and all(
            is_close(probabilities, self.right[text]) for text, probabilities in given
        )

    @property
    def logged_causes(self) -> dict[str, str]:
        """The name of each error in the log, by id."""
        events = [orjson.loads(line) for line in self.server.log.splitlines() if is_failure(line)]
        return {
            event["request_id"]: event["exception"].splitlines()[-1].partition(":")[0] for event in events
        }


def is_close(given: Probabilities, right: Probabilities) -> bool:
    return given.keys() == right.keys() and all(
        abs(p - right[label]) <= TOLERANCE for label, p in given.items()
    )


def is_failure(log_line: str) -> bool:
    return '"event": "internal_error"' in log_line


def review_pieces(project: Path) -> list[str]:
    """Split the reviews into texts of a few words."""
    with (project / "tests" / "data" / "imdb_test.csv").open(encoding="utf-8", newline="") as file:
        words = [word for row in csv.DictReader(file) for word in row["text"].split()]
    return [" ".join(words[start : start + PIECE_WORDS]) for start in range(0, len(words), PIECE_WORDS)]


def right_answers(classifier: Classifier, texts: Sequence[str]) -> dict[str, Probabilities]:
    """Select texts whose probabilities all differ; return them with their probabilities."""
    pairs = zip(texts, (prediction.probabilities for prediction in classifier.predict(texts)), strict=True)
    answers = [(probabilities["negative"], text, probabilities) for text, probabilities in pairs]
    distinct: dict[str, Probabilities] = {}
    last = -math.inf
    for value, text, probabilities in sorted(answers, key=itemgetter(0)):
        if value > last + 10 * TOLERANCE:
            distinct[text] = probabilities
            last = value
    return distinct


def questions(texts: Sequence[str], count: int) -> Iterator[Question]:
    generator = random.Random(count)
    poisons = [fault.text for fault in Fault]
    paths = generator.choices(list(PATHS), list(PATHS.values()), k=count)
    for path in paths:
        count = MAX_TEXTS if path in {"/predict/batch", "/classify"} else 1
        asked = generator.sample(texts, generator.randint(1, count))
        if generator.random() < SHARE_POISONED:
            asked[generator.randrange(len(asked))] = generator.choice(poisons)
        yield Question(path, asked, disconnects=generator.random() < SHARE_DISCONNECTING)


async def read_answer(reader: asyncio.StreamReader) -> Answer:
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head)
    assert length is not None, head
    return Answer(int(head.split()[1]), await reader.readexactly(int(length[1])))


async def ask_all(port: int, pending: Iterator[Question]) -> list[tuple[Question, Answer | None]]:
    """Run clients that each ask, on their own connection, one question after another until none is left."""
    asked: list[tuple[Question, Answer | None]] = []
    client_was_answered = asyncio.Event()

    async def wait_for_any_answer(reader: asyncio.StreamReader) -> None:
        client_was_answered.clear()
        events = [asyncio.ensure_future(event) for event in (client_was_answered.wait(), reader.read(1))]
        await asyncio.wait(events, return_when=asyncio.FIRST_COMPLETED)
        for event in events:
            event.cancel()

    async def ask() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for question in pending:
            writer.write(question.request)
            if question.disconnects:
                await wait_for_any_answer(reader)
                writer.close()
                asked.append((question, None))
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
            else:
                asked.append((question, await read_answer(reader)))
                client_was_answered.set()
        writer.close()

    async with asyncio.timeout(TIMEOUT_SECONDS), asyncio.TaskGroup() as clients:
        for _ in range(CONNECTIONS):
            clients.create_task(ask())
    return asked


def write_network(folder: Path, texts: Sequence[str]) -> Path:
    """Write a random network that knows the words of the texts; return the artifact's folder."""
    words = {word for text in [WORD, *texts] for word in re.findall(r"\w+", text.lower())}
    settings = OnnxSettings(first_id=2, unknown_id=1, pad_to=16, output="logits")
    embeddings = np.random.default_rng(0).normal(size=(2 + len(words), 2)).astype(np.float32)
    artifact = replace(
        tiny_artifact(name="imdb-sentiment", text=TextSettings(max_tokens=16), model=settings),
        vocabulary=tuple(sorted(words)),
        weights={NETWORK: mean_network(embeddings)},
    )
    write_artifact(with_golden(artifact), folder)
    return folder


@pytest.fixture(scope="module", params=[("linear", 100_000), ("network", 10_000)], ids=["linear", "network"])
def load(
    request: pytest.FixtureRequest,
    serve: Any,
    wait_until: Any,
    bundled: Path,
    project: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Load]:
    kind, count = request.param
    home = tmp_path_factory.mktemp("home")
    pieces = review_pieces(project)
    is_linear = kind == "linear"
    artifact = bundled if is_linear else write_network(tmp_path_factory.mktemp(kind) / "artifact", pieces)
    save(artifact, home, project)
    classifier = load_classifier(artifact)
    right = right_answers(classifier, pieces)
    assert len(right) > 2000
    pending = questions(list(right), count)
    right |= right_answers(classifier, [Fault.SLEEPS.text])
    settings = {
        "PYTHONPATH": str(project),
        "CLASSIFIER__LOGGING__FORMAT": "json",
        # With these settings no request is late or refused, even on a slow machine.
        "CLASSIFIER__API__REQUEST_SECONDS": "600",
        "CLASSIFIER__BATCHING__DEADLINE_SECONDS": "600",
        "CLASSIFIER__BATCHING__MAX_WAITING_SECONDS": "600",
    }
    if not is_linear:  # every batch runs in the worker thread
        settings["CLASSIFIER__BATCHING__MAX_INLINE_SECONDS"] = "1e-9"
    bentoml, here = Path(sys.executable).parent / "bentoml", Path(__file__).parent
    command = (bentoml, "serve", "poisoned_service:TextClassifier", "--working-dir", here)
    with serve(home, command, **settings) as server:
        asked = asyncio.run(ask_all(server.port, pending))

        def metrics() -> str:
            return httpx.get(f"{server.url}/metrics").text

        wait_until(lambda: "classifier_requests_in_progress 0.0" in metrics(), "all requests have ended")
        yield Load(server, count, right, asked, metrics())


def test_every_client_gets_the_right_answer_to_its_own_texts(load: Load) -> None:
    wrong = [
        (question, answer)
        for question, answer in load.answered
        if question.cause is None and not load.is_right(question, answer)
    ]
    assert wrong[:3] == []


def test_each_poisoned_request_is_answered_with_500_and_its_own_id(load: Load) -> None:
    answers = [answer for question, answer in load.answered if question.cause is not None]
    assert {answer.status for answer in answers} == {500}
    assert len({answer.id for answer in answers}) == len(answers)


def test_each_request_is_counted_once_whether_or_not_its_client_disconnected(load: Load) -> None:
    paths = "|".join(PATHS)
    counted = re.findall(
        rf'^classifier_requests_total{{route="(?:{paths})",.*}} (.*)$', load.metrics, re.MULTILINE
    )
    assert sum(map(float, counted)) == len(load.asked) == load.count


def test_the_log_has_the_cause_of_each_500_under_its_id(load: Load) -> None:
    causes = load.logged_causes
    answered = {answer.id: question.cause for question, answer in load.answered if answer.status == 500}
    assert {id_: causes.get(id_) for id_ in answered} == answered


def test_the_log_reports_no_failures_except_those_of_poisoned_requests(load: Load) -> None:
    poisoned = [question for question, _ in load.asked if question.cause is not None]
    assert len(load.logged_causes) <= len(poisoned)
    rest = [line for line in load.server.log.splitlines() if not is_failure(line)]
    assert [line for line in rest if "Traceback" in line or "never retrieved" in line] == []


def test_the_service_is_ready_and_answers_correctly_afterwards(load: Load) -> None:
    text, right = next(iter(load.right.items()))
    assert load.server.is_ready()
    answer = httpx.post(f"{load.server.url}/predict", json={"text": text}).json()
    assert is_close(answer["probabilities"], right)
