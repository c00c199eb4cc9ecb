"""Notices a connection on which nothing happens while it is the client's turn."""

import asyncio
from collections.abc import Callable


class StallTimer:
    """Looks at a connection from time to time, and ends it when two looks in a row find the same.

    So a connection that has stalled ends after between once and twice the time between two looks.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        seconds: float,
        progress: Callable[[], object],
        abort: Callable[[], None],
    ) -> None:
        """`progress` returns a value that changes with each request; None if it is not the client's turn."""
        self._loop = loop
        self._seconds = seconds
        self._progress = progress
        self._abort = abort
        self._seen = progress()
        self._timer = loop.call_later(seconds, self._look)

    def _look(self) -> None:
        seen, self._seen = self._seen, self._progress()
        if self._seen is not None and self._seen == seen:
            self._abort()
        else:
            self._timer = self._loop.call_later(self._seconds, self._look)

    def abort_after(self, seconds: float) -> None:
        """End the connection after so many seconds, whatever happens."""
        self._timer.cancel()
        self._timer = self._loop.call_later(seconds, self._abort)

    def cancel(self) -> None:
        """Look no more."""
        self._timer.cancel()
