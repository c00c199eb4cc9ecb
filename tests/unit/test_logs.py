"""The log: what a client sends cannot control a terminal, and in JSON format every line is JSON."""

import json
import logging
from collections.abc import Callable, Iterator

import pytest
import structlog

from classifier.settings import LoggingSettings
from serving.logs import MAX_SHOWN_PATH, configure_logging, log_request

Read = Callable[[], str]


@pytest.fixture
def written(capsys: pytest.CaptureFixture[str]) -> Iterator[Read]:
    """A function that returns what was written to standard error. The loggers are restored afterwards."""
    names = [None, *logging.getLogger().manager.loggerDict]
    before = {name: logging.getLogger(name).handlers for name in names}
    yield lambda: capsys.readouterr().err
    for name, handlers in before.items():
        logging.getLogger(name).handlers = handlers
    structlog.reset_defaults()


def test_control_characters_in_a_path_are_escaped(written: Read) -> None:
    configure_logging(LoggingSettings(access=True))
    log_request("GET", "/a\x1b[31m\x08\x7f\x9bé\n", 404, 0.001)
    line = written()
    assert r"/a\x1b[31m\x08\x7f\x9bé\x0a" in line
    assert not set(line.rstrip("\n")) & {"\x1b", "\x08", "\x7f", "\x9b", "\n"}


@pytest.mark.parametrize("form", ["console", "json"])
def test_a_long_path_is_truncated_in_the_log(written: Read, form: str) -> None:
    configure_logging(LoggingSettings(access=True, format=form))  # type: ignore[arg-type]
    log_request("GET", "/" + "a" * 60_000, 404, 0.001)
    line = written()
    assert len(line) < MAX_SHOWN_PATH + 300
    assert "a" * (MAX_SHOWN_PATH - 1) in line


def test_log_lines_of_other_libraries_are_also_json(written: Read) -> None:
    logger = logging.getLogger("bentoml.test_logs")
    logger.propagate = False
    logger.addHandler(logging.StreamHandler())
    configure_logging(LoggingSettings(format="json"))
    logger.warning("said %s", "so")
    try:
        raise ValueError("wrong\x1b")
    except ValueError:
        logger.exception("failed")
    message, failed = map(json.loads, written().splitlines())
    assert (message["event"], message["level"], message["logger"]) == (
        "said so",
        "warning",
        "bentoml.test_logs",
    )
    assert "ValueError: wrong" in failed["exception"]


def test_the_line_that_says_where_bentoml_listens_does_not_say_localhost(
    caplog: pytest.LogCaptureFixture,
    written: Read,  # noqa: ARG001 - it restores the loggers
) -> None:
    configure_logging(LoggingSettings())
    with caplog.at_level(logging.INFO, logger="bentoml.serve"):
        logging.getLogger("bentoml.serve").info("listening on %s://%s:%d", "http", "localhost", 3000)
        logging.getLogger("bentoml.serve").info("listening on %s://%s:%d", "http", "127.0.0.1", 3000)
    assert caplog.messages == ["listening on http://0.0.0.0:3000", "listening on http://127.0.0.1:3000"]
