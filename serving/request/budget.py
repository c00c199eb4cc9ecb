"""Bounds the bytes that all connections together make the service hold."""

from typing import Protocol

from classifier.errors import QueueFull


class Holder(Protocol):
    """A connection that holds bytes."""

    def end_for_room(self) -> None:
        """Refuse the unfinished request, or drop those that wait, and free their bytes."""
        ...


class ByteBudget:
    """Counts heads, bodies, waiting requests and unread answers; each connection adds what it holds.

    While the budget is spent, no request is admitted. Unfinished requests do not keep others out: those that
    have been unfinished for longest are refused to make room.
    """

    def __init__(self, limit: int) -> None:
        """`limit`: bytes."""
        self.limit = limit
        self.held = 0
        self._unfinished: dict[Holder, None] = {}

    @property
    def is_overspent(self) -> bool:
        """Whether more bytes are held than the limit allows."""
        return self.held > self.limit

    @property
    def is_awaiting(self) -> bool:
        """Whether any request is unfinished."""
        return bool(self._unfinished)

    def refusal(self) -> QueueFull | None:
        """Why no request may come in now, after making room where possible; None if one may."""
        if self.held >= self.limit:
            self.make_room()
        return self.full() if self.held >= self.limit else None

    def full(self) -> QueueFull:
        """The error of a request that does not fit."""
        return QueueFull(
            f"the service holds {self.held} bytes of requests and answers; the limit is {self.limit} bytes"
        )

    def await_rest(self, holder: Holder) -> None:
        """Note that a connection has an unfinished request; the one that waits longest is refused first."""
        self._unfinished.setdefault(holder)

    def stop_awaiting(self, holder: Holder) -> None:
        """Note that the connection has no unfinished request any more, or is lost."""
        self._unfinished.pop(holder, None)

    def make_room(self) -> None:
        """Refuse unfinished requests as long as too much is held."""
        while self.held >= self.limit and self._unfinished:
            holder = next(iter(self._unfinished))
            del self._unfinished[holder]
            holder.end_for_room()
