"""The log: what a client sends cannot control a terminal or forge a line, and in JSON every line is JSON."""

import asyncio
import json
import logging
import random
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog
from recording import DIGEST, recorder

from classifier.errors import Refusal
from classifier.pipeline import Prediction
from classifier.settings import LoggingSettings
from serving.telemetry.access_log import AccessLog
from serving.telemetry.exchange import BatchRecord, Exchange
from serving.telemetry.logs import MAX_SHOWN_CHARACTERS, configure_logging, set_level

Read = Callable[[], str]
ALL = LoggingSettings(access_share=1.0)
HOSTILE = [
    *("\n", "\r\n", "\x1b[2J", "\x00", "\x9b31m", "\x85", "\u2028", "\u2029", "\u202e", "\ud800", '"', "\\"),
    *('"}\n{"event": "request", "status": 200}', "é", "\N{PILE OF POO}", "%0a", "a" * 500),
]


@pytest.fixture
def written(capsys: pytest.CaptureFixture[str]) -> Iterator[Read]:
    """A function that returns what was written to standard error. The loggers are restored afterwards."""
    names = [None, *logging.getLogger().manager.loggerDict]
    before = {name: logging.getLogger(name).handlers for name in names}
    logging.getLogger().addHandler(logging.StreamHandler())
    yield lambda: capsys.readouterr().err
    for name, handlers in before.items():
        logging.getLogger(name).handlers = handlers
    logging.captureWarnings(False)
    structlog.reset_defaults()


def exchange(path: str = "/predict", **fields: Any) -> Exchange:
    made = Exchange(request_id=b"id-1", method="POST", path=path)
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def prediction(label: str = "positive") -> Prediction:
    return Prediction(label, 1, {"negative": 0.25, label: 0.75})


def batch(texts: int) -> BatchRecord:
    return BatchRecord(
        texts, begin=2.0, end=2.5, tokenization_seconds=0.1, inference_seconds=0.2, span_context=None
    )


def configured(form: str, settings: LoggingSettings = ALL) -> AccessLog:
    settings = settings.model_copy(update={"format": form})
    configure_logging(settings)
    return AccessLog(settings, DIGEST)


def test_control_characters_in_a_path_are_escaped(written: Read) -> None:
    configured("console").request(exchange("/a\x1b[31m\x08\x7f\x9bé\n\u2028\u202e"), 404, 0.001)
    line = written()
    assert r"/a\x1b[31m\x08\x7f\x9bé\x0a\u2028\u202e" in line
    assert not set(line.rstrip("\n")) & {"\x1b", "\x08", "\x7f", "\x9b", "\n", "\u2028", "\u202e"}


@pytest.mark.parametrize("form", ["console", "json"])
def test_a_long_path_is_truncated_in_the_log(written: Read, form: str) -> None:
    configured(form).request(exchange("/" + "a" * 60_000), 404, 0.001)
    line = written()
    assert len(line) < MAX_SHOWN_CHARACTERS + 400
    assert "a" * (MAX_SHOWN_CHARACTERS - 1) in line


@pytest.mark.parametrize("form", ["console", "json"])
def test_no_input_of_ten_thousand_makes_two_lines_of_one(written: Read, form: str) -> None:
    draw = random.Random(1)
    log = configured(form, LoggingSettings(access_share=1.0, texts=True))
    for _ in range(10_000):
        hostile = "".join(draw.choices(HOSTILE, k=4))
        log.request(exchange("/" + hostile, texts=(hostile,), predictions=[prediction(hostile)]), 200, 0.001)
    lines = written().split("\n")
    assert lines.pop() == ""
    assert len(lines) == 10_000
    if form == "json":
        assert {json.loads(line)["request_id"] for line in lines} == {"id-1"}
        assert all(line.isascii() and line.isprintable() for line in lines)
    else:
        assert all(line.isprintable() for line in lines)


def test_the_fields_of_a_line_have_their_types_and_units(written: Read) -> None:
    one = exchange(queued_at=1.5, batches=[batch(8)], predictions=[prediction()], texts=["secret"])
    configured("json").request(one, 200, 1.0)
    line = json.loads(written())
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "request",
        "level": "info",
        "request_id": "id-1",
        "method": "POST",
        "path": "/predict",
        "route": "/predict",
        "status": 200,
        "seconds": 1.0,
        "queue_seconds": 0.5,
        "tokenization_seconds": 0.1,
        "inference_seconds": 0.2,
        "texts": 1,
        "batch_texts": 8,
        "label": "positive",
        "confidence": 0.75,
        "model": DIGEST,
    }


@pytest.mark.parametrize(("texts", "is_there"), [(False, False), (True, True)])
def test_a_text_is_in_the_log_only_if_the_setting_says_so(written: Read, texts: bool, is_there: bool) -> None:
    settings = LoggingSettings(access_share=1.0, texts=texts)
    configured("json", settings).request(exchange(texts=["secret"], predictions=[prediction()]), 200, 1.0)
    assert ("secret" in written()) == is_there


def statuses(written: Read) -> list[int]:
    return [json.loads(line)["status"] for line in written().splitlines()]


def test_a_share_of_the_requests_has_a_line_and_every_error_of_the_service_has_one(written: Read) -> None:
    log = configured("json", LoggingSettings(access_share=0.1))
    for _ in range(1000):
        log.request(exchange(), 200, 0.001)
        log.request(exchange(), 500, 0.001)
    found = statuses(written)
    assert found.count(500) == 1000
    assert 60 <= found.count(200) <= 140  # 0.1 of 1000, four standard deviations each way


def test_without_a_share_only_errors_of_the_service_have_lines(written: Read) -> None:
    log = configured("json", LoggingSettings())
    for status in (200, 404, 500, 504):
        log.request(exchange(), status, 0.001)
    assert statuses(written) == [500, 504]


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/healthz", "/health", "/metrics"])
def test_probes_and_scrapes_have_lines_only_at_debug(written: Read, path: str) -> None:
    log = configured("json")
    log.request(exchange(path), 200, 0.001)
    assert not written()
    log.is_verbose = True
    log.request(exchange(path), 200, 0.001)
    assert json.loads(written())["path"] == path


def test_refusals_are_one_line_a_second_for_each_reason(written: Read) -> None:
    recording = recorder()
    configure_logging(LoggingSettings(format="json"))

    async def refuse() -> None:
        for reason in (Refusal.QUEUE_TIME, Refusal.DRAINING, Refusal.QUEUE_TIME):
            recording.end(exchange(refusal=reason), 503)
        await asyncio.sleep(1.1)

    asyncio.run(refuse())
    lines = map(json.loads, written().splitlines())
    assert {line["reason"]: line["count"] for line in lines} == {"queue_time": 2, "draining": 1}


def test_the_level_can_be_changed_while_the_service_runs(written: Read) -> None:
    log = structlog.get_logger("classifier.test")
    configure_logging(LoggingSettings(level="WARNING", format="json"))
    for level in ("DEBUG", "WARNING"):
        log.debug(f"before {level}")
        set_level(level)
    log.debug("at the end")
    assert [json.loads(line)["event"] for line in written().splitlines()] == ["before WARNING"]


def log_of_two_libraries(written: Read, form: str) -> list[str]:
    """The same event, logged by BentoML and by us."""
    logger = logging.getLogger("bentoml.test_logs")
    logger.propagate = False
    logger.addHandler(logging.StreamHandler())
    configured(form)
    logger.warning("said %s", "so\x1b")
    structlog.get_logger("classifier.test").warning("said so\x1b")
    return written().splitlines()


def test_json_lines_of_other_libraries_look_like_ours(written: Read) -> None:
    theirs, ours = map(json.loads, log_of_two_libraries(written, "json"))
    assert theirs.pop("logger") == "bentoml.test_logs"
    assert theirs.keys() == ours.keys()
    assert (theirs["event"], theirs["level"]) == (ours["event"], ours["level"]) == ("said so\x1b", "warning")


def test_console_lines_of_other_libraries_look_like_ours(written: Read) -> None:
    theirs, ours = log_of_two_libraries(written, "console")
    assert theirs.split()[1:] == [*ours.split()[1:], "[bentoml.test_logs]"]
    assert ours.split()[1:] == ["[warning", "]", "said", "so\\x1b"]


def test_an_exception_that_another_library_logs_is_in_its_json_line(written: Read) -> None:
    logger = logging.getLogger("bentoml.test_logs")
    logger.propagate = False
    logger.addHandler(logging.StreamHandler())
    configured("json")
    try:
        raise ValueError("wrong\x1b")
    except ValueError:
        logger.exception("failed")
    (line,) = written().splitlines()
    assert "ValueError: wrong" in json.loads(line)["exception"]


def test_a_logger_that_bentoml_has_switched_off_logs_again(written: Read) -> None:
    logger = logging.getLogger("asyncio")
    logger.disabled = True
    configured("json")
    logger.error("a task failed")
    assert json.loads(written())["event"] == "a task failed"


def test_a_warning_of_python_is_a_line_of_json(written: Read) -> None:
    configured("json")
    warnings.warn("an old function", UserWarning, stacklevel=1)
    line = json.loads(written())
    assert line["logger"] == "py.warnings"
    assert "an old function" in line["event"]


def test_the_line_that_says_where_bentoml_listens_does_not_say_localhost(written: Read) -> None:
    logger = logging.getLogger("bentoml.serve")
    logger.addHandler(logging.StreamHandler())
    logger.setLevel(logging.INFO)
    configured("json")
    logger.info("listening on %s://%s:%d", "http", "localhost", 3000)
    logger.info("listening on %s://%s:%d", "http", "127.0.0.1", 3000)
    said = {json.loads(line)["event"] for line in written().splitlines()}
    assert said == {"listening on http://0.0.0.0:3000", "listening on http://127.0.0.1:3000"}
