"""The log: structured events on standard error, as lines for people or as JSON."""

import logging
import sys

import structlog
from structlog.typing import Processor

from classifier.settings import LoggingSettings

_access_log = structlog.get_logger("classifier.access")


def configure_logging(settings: LoggingSettings) -> None:
    """Set up structlog for this process."""
    shared: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if settings.format == "json":
        shared += [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    else:
        shared.append(
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
            )
        )
    structlog.configure(
        processors=shared,
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[settings.level]),
        # Asked for anew, since whoever runs the service may have put another file there.
        logger_factory=lambda *_: structlog.WriteLogger(sys.stderr),
    )


def log_request(method: str, path: str, status: int, seconds: float) -> None:
    """The line of the access log for one answered request."""
    _access_log.info(
        "request", method=method, path=path, status=status, milliseconds=round(1000 * seconds, 3)
    )
