"""How many requests may be in flight, and when the next may be sent."""

import random
from collections.abc import Callable

MIN_WAIT_SECONDS = 0.5
MAX_WAIT_SECONDS = 10.0
"""Bounds of the wait after a request that reached nothing; it doubles from one such request to the next."""

DEFAULT_RETRY_AFTER = 1.0
"""The wait after a refusal that names none."""

MAX_RETRY_AFTER = 60.0
"""The longest wait that a service can ask for."""


class Pace:
    """Adapts to what the service can take, as TCP does: additive increase, multiplicative decrease.

    A refusal halves the number of requests that may be in flight. After that number of answers, one more may.
    Waits are lengthened by up to a half at random, so that clients that were refused together return apart.
    """

    def __init__(self, most: int, random: Callable[[], float] = random.random) -> None:
        self._most = most
        self._random = random
        self._answers = 0
        self._wait = MIN_WAIT_SECONDS
        self._slowed_at = float("-inf")
        self.allowed = most
        """Requests that may be in flight."""
        self.resume_at = float("-inf")
        """No request may be sent before this time."""

    def answered(self) -> None:
        """A request was answered."""
        self._wait = MIN_WAIT_SECONDS
        self._answers += 1
        if self._answers >= self.allowed:
            self._answers = 0
            self.allowed = min(self.allowed + 1, self._most)

    def refused(self, now: float, sent_at: float, retry_after: float | None) -> None:
        """The service was too busy for a request."""
        self._slow_down(now, sent_at)
        self._wait_for(now, min(DEFAULT_RETRY_AFTER if retry_after is None else retry_after, MAX_RETRY_AFTER))

    def lost(self, now: float, sent_at: float) -> None:
        """A request reached nothing, or its answer did not come."""
        if sent_at >= self._slowed_at:
            self._wait_for(now, self._wait)
            self._wait = min(2 * self._wait, MAX_WAIT_SECONDS)
        self._slow_down(now, sent_at)

    def _slow_down(self, now: float, sent_at: float) -> None:
        """Halve once for all requests that were in flight together."""
        if sent_at >= self._slowed_at:
            self._slowed_at = now
            self._answers = 0
            self.allowed = max(self.allowed // 2, 1)

    def _wait_for(self, now: float, seconds: float) -> None:
        self.resume_at = max(self.resume_at, now + seconds * (1 + self._random() / 2))
