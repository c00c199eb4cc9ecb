"""Bounds the bytes that all connections together make the service hold."""

from typing import Protocol

from classifier.errors import QueueFull, Refusal


class Holder(Protocol):
    """A connection that holds bytes."""

    def free_bytes(self) -> None:
        """Free bytes: refuse the unfinished request, or drop the requests that wait for their turn."""
        ...


class ByteBudget:
    """Counts the bytes of heads, bodies, waiting requests and unread answers of all connections.

    While the budget is spent, no request is admitted. Before new requests are refused, those that have been
    unfinished for longest are refused to make room.
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
    def has_unfinished(self) -> bool:
        """Whether any request is unfinished."""
        return bool(self._unfinished)

    def refusal(self) -> QueueFull | None:
        """Make room if possible; return the error if there is still none for a request, otherwise None."""
        if self.held >= self.limit:
            self.make_room()
        return self.full() if self.held >= self.limit else None

    def full(self) -> QueueFull:
        """The error of a request that does not fit."""
        return QueueFull(
            f"the service holds {self.held} bytes of requests and answers; the limit is {self.limit} bytes",
            Refusal.HELD_BYTES,
        )

    def add_unfinished(self, holder: Holder) -> None:
        """Note that a connection has an unfinished request; the one noted first is refused first."""
        self._unfinished.setdefault(holder)

    def remove_unfinished(self, holder: Holder) -> None:
        """Note that the connection has no unfinished request any more, or is lost."""
        self._unfinished.pop(holder, None)

    def make_room(self) -> None:
        """Refuse unfinished requests as long as too much is held."""
        while self.held >= self.limit and self._unfinished:
            holder = next(iter(self._unfinished))
            del self._unfinished[holder]
            holder.free_bytes()
