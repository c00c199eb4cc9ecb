"""Notices a connection on which nothing happens while it is the client's turn."""

import asyncio
from collections.abc import Callable


class StallTimer:
    """Checks a connection at fixed intervals, and ends it if nothing has changed between two checks.

    So a connection that has stalled ends after one to two intervals.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        seconds: float,
        progress: Callable[[], object],
        abort: Callable[[], None],
    ) -> None:
        """`seconds` is the interval. `progress` returns a value that changes with each request, or None if it
        is not the client's turn to send or to read.
        """
        self._loop = loop
        self._seconds = seconds
        self._progress = progress
        self._abort = abort
        self._seen = progress()
        self._timer = loop.call_later(seconds, self._check)

    def _check(self) -> None:
        seen, self._seen = self._seen, self._progress()
        if self._seen is not None and self._seen == seen:
            self._abort()
        else:
            self._timer = self._loop.call_later(self._seconds, self._check)

    def abort_after(self, seconds: float) -> None:
        """End the connection after this time, whatever happens until then."""
        self._timer.cancel()
        self._timer = self._loop.call_later(seconds, self._abort)

    def cancel(self) -> None:
        """Stop checking."""
        self._timer.cancel()
