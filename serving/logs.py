"""The log: structured events on standard error, as lines for people or as JSON."""

import logging
import sys

import structlog
from bentoml._internal.log import SERVER_LOGGING_CONFIG
from structlog.typing import EventDict, Processor

from classifier.settings import LoggingSettings

MAX_SHOWN_PATH = 200
"""Most characters of a path in the access log; a client can send 60,000."""

_CONTROLS = {code: f"\\x{code:02x}" for code in [*range(0x20), *range(0x7F, 0xA0)]}

_access_log = structlog.get_logger("classifier.access")


def configure_logging(settings: LoggingSettings) -> None:
    """Set up structlog for this process.

    With the JSON format, the lines that BentoML and uvicorn log through `logging` are JSON too.
    """
    logging.getLogger("bentoml.serve").addFilter(_name_every_address)
    shared: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: list[Processor]
    if settings.format == "json":
        last = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        _log_as_json(shared, last)
    else:
        last = [
            _escape_controls,
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
            ),
        ]
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[settings.level]),
        # `sys.stderr` is looked up each time because the process may have replaced it.
        logger_factory=lambda *_: structlog.WriteLogger(sys.stderr),
    )


def log_request(method: str, path: str, status: int, seconds: float) -> None:
    """Write the access log's line for one answered request."""
    shown = path if len(path) <= MAX_SHOWN_PATH else path[:MAX_SHOWN_PATH] + "…"
    _access_log.info(
        "request", method=method, path=shown, status=status, milliseconds=round(1000 * seconds, 3)
    )


def _name_every_address(record: logging.LogRecord) -> bool:
    """Correct the line that says where BentoML listens: it writes "localhost" for every address."""
    if isinstance(record.args, tuple) and "localhost" in record.args:
        record.args = tuple("0.0.0.0" if value == "localhost" else value for value in record.args)  # noqa: S104
    return True


def _escape_controls(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Escape control characters, because a terminal would obey those that a client sent. JSON has its own."""
    strings = {key: value for key, value in event.items() if isinstance(value, str)}
    return {**event, **{key: value.translate(_CONTROLS) for key, value in strings.items()}}


def _log_as_json(shared: list[Processor], last: list[Processor]) -> None:
    """Make every logger of `logging` that has handlers write the same JSON lines.

    BentoML may set up its own handlers again later, so the format is also changed in BentoML's configuration.
    """
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
    )
    for name in SERVER_LOGGING_CONFIG["formatters"]:
        SERVER_LOGGING_CONFIG["formatters"][name] = {"()": lambda: formatter}
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    manager = logging.getLogger().manager
    loggers = [logging.getLogger(), *map(logging.getLogger, list(manager.loggerDict))]
    for logger in loggers:
        if logger.handlers:
            logger.handlers = [handler]
