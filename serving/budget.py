"""The bytes that clients make the service hold, bounded for all connections together."""

from typing import Protocol

from classifier.errors import QueueFull


class Holder(Protocol):
    """A connection that holds bytes."""

    def end_for_room(self) -> None:
        """Refuse the request that has not come whole, or drop those that wait, and hold none of them."""
        ...


class ByteBudget:
    """Heads, bodies, requests that wait and answers that nobody reads: each connection adds what it holds.

    While the budget is spent, no request is let in. Requests that never come whole do not keep others out:
    those whose rest has been awaited longest are refused to make room.
    """

    def __init__(self, limit: int) -> None:
        """`limit`: bytes."""
        self.limit = limit
        self.held = 0
        self._receiving: dict[Holder, None] = {}

    @property
    def is_overspent(self) -> bool:
        """Whether more bytes are held than the limit allows."""
        return self.held > self.limit

    @property
    def is_awaiting(self) -> bool:
        """Whether the rest of any request is awaited."""
        return bool(self._receiving)

    def refusal(self) -> QueueFull | None:
        """Why no request may come in now, though room was made where that is possible; None if one may."""
        if self.held >= self.limit:
            self.make_room()
        return self.full() if self.held >= self.limit else None

    def full(self) -> QueueFull:
        """The error of a request that does not fit."""
        return QueueFull(
            f"the service holds {self.held} bytes of requests and answers; the limit is {self.limit} bytes"
        )

    def await_rest(self, holder: Holder) -> None:
        """Note that the rest of a request is awaited; the connections that wait longest come first."""
        self._receiving.setdefault(holder)

    def stop_awaiting(self, holder: Holder) -> None:
        """Note that the connection awaits nothing more, or is lost."""
        self._receiving.pop(holder, None)

    def make_room(self) -> None:
        """Refuse requests that have not come whole, as long as too much is held."""
        while self.held >= self.limit and self._receiving:
            holder = next(iter(self._receiving))
            del self._receiving[holder]
            holder.end_for_room()
