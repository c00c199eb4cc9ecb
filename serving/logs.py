"""The log: structured events on standard error, as lines for people or as JSON."""

import logging
import sys

import structlog
from structlog.typing import Processor

from classifier.settings import LoggingSettings


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
