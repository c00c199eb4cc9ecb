"""The log: structured events on standard error, as lines for people or as JSON."""

import logging
import sys
from collections.abc import Callable, Mapping
from typing import NoReturn

import structlog
from bentoml._internal.log import SERVER_LOGGING_CONFIG
from structlog.typing import EventDict, Processor

from classifier.settings import LoggingSettings
from classifier.validation import shortened

MAX_SHOWN_CHARACTERS = 200
"""Most characters of a path or label in a line; a client can send a path of 60,000."""

_log = structlog.get_logger("classifier.start")


def configure_logging(settings: LoggingSettings) -> None:
    """Set up structlog for this process.

    The lines that BentoML and uvicorn log through `logging` get the same form.
    """
    logging.getLogger("bentoml.serve").addFilter(_name_every_address)
    shared: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last = _FORMATS[settings.format]()
    _format_all_loggers(shared, last)
    structlog.configure(
        processors=[*shared, *last],
        # `sys.stderr` is looked up each time because the process may have replaced it.
        logger_factory=lambda *_: structlog.WriteLogger(sys.stderr),
    )
    set_level(settings.level)


def _console() -> list[Processor]:
    renderer = structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
    )
    return [_escape_controls, renderer]


def _json() -> list[Processor]:
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]


_FORMATS: Mapping[str, Callable[[], list[Processor]]] = {"console": _console, "json": _json}


def exit_with_error(error: Exception, settings: LoggingSettings) -> NoReturn:
    """End the process because the service cannot start: with a sentence for people, or a line of JSON."""
    if settings.format == "console":
        raise SystemExit(f"error: {error}") from None
    _log.error("start_failed", error=str(error))
    raise SystemExit(1) from None


def set_level(level: str) -> None:
    """From now on, log our own events of this level and above; the levels of BentoML's loggers stay."""
    number = logging.getLevelNamesMapping()[level]
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(number))


def shown(text: str) -> str:
    """A text of a client as a line shows it: cut if it is long."""
    return shortened(text, MAX_SHOWN_CHARACTERS)


def _name_every_address(record: logging.LogRecord) -> bool:
    """Correct the line that says where BentoML listens: it writes "localhost" for every address."""
    if isinstance(record.args, tuple) and "localhost" in record.args:
        record.args = tuple("0.0.0.0" if value == "localhost" else value for value in record.args)  # noqa: S104
    return True


def _escape_controls(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Escape control characters, because a terminal would obey those that a client sent. JSON has its own."""
    return {key: _escaped(value) if isinstance(value, str) else value for key, value in event.items()}


def _escaped(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() else f"\\x{ord(one):02x}" if ord(one) < 256 else f"\\u{ord(one):04x}"
        for one in text
    )


class _StandardError(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes to standard error, which the process may have replaced meanwhile."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


def _format_all_loggers(shared: list[Processor], last: list[Processor]) -> None:
    """Make every logger of `logging` that has handlers write lines of the same form.

    BentoML may set up its own handlers again later, so the format is also changed in BentoML's configuration.
    """
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
    )
    # BentoML would switch off the loggers that exist already, asyncio's among them.
    SERVER_LOGGING_CONFIG["disable_existing_loggers"] = False
    logging.captureWarnings(True)
    for handler_settings in SERVER_LOGGING_CONFIG["handlers"].values():
        handler_settings["stream"] = "ext://sys.stderr"
    for name in SERVER_LOGGING_CONFIG["formatters"]:
        SERVER_LOGGING_CONFIG["formatters"][name] = {"()": lambda: formatter}
    handler = _StandardError()
    handler.setFormatter(formatter)
    manager = logging.getLogger().manager
    loggers = [logging.getLogger(), *map(logging.getLogger, list(manager.loggerDict))]
    for logger in loggers:
        logger.disabled = False
        if logger.handlers:
            logger.handlers = [handler]
