"""SIGUSR1 switches the level of the log to DEBUG, and the next one back, without a restart."""

import asyncio
import signal
import threading

import structlog

from serving.telemetry.access_log import AccessLog
from serving.telemetry.logs import set_level

DEBUG = "DEBUG"

_log = structlog.get_logger("classifier.log")


def change_level_on_signal(configured: str, access_log: AccessLog) -> None:
    """On SIGUSR1 log at DEBUG, with a line for every request; on the next one log at the configured level.

    Call this in the event loop. Only the main thread receives signals; in another thread this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    is_debug = False

    def change() -> None:
        nonlocal is_debug
        is_debug = not is_debug
        level = DEBUG if is_debug else configured
        set_level(level)
        access_log.is_verbose = level == DEBUG
        _log.warning("log_level", now=level)

    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, change)
