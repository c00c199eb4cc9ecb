"""Ends a request whose client disconnects, so that its waiting texts leave the queue."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from starlette.requests import Request
from starlette.types import Scope

from serving.errors import ClientClosedRequest

CONNECTION = "classifier.connection"
"""The key under which the protocol puts the connection into a scope's extensions."""


class Connection(Protocol):
    """The client's connection.

    We watch it because a second task awaiting `receive()` costs more than a prediction of a light model.
    """

    is_lost: bool

    when_lost: Callable[[], None] | None
    """Called when the client disconnects; None if no request waits for that."""

    failure: Exception | None
    """The error that the server answered when it ended the connection in the middle of a body."""


def take_failure(scope: Scope) -> Exception | None:
    """Take the error with which the server ended the connection within the body; None if it did not.

    The error is removed from the connection because it will be raised. If it stayed there, it would keep
    alive everything that its traceback refers to.
    """
    connection: Connection | None = scope.get("extensions", {}).get(CONNECTION)
    if connection is None:
        return None
    failure, connection.failure = connection.failure, None
    return failure


class CancelledByDisconnect:
    """A block that is cancelled when the request's client disconnects; it then raises ClientClosedRequest.

    This needs the service's own protocol. With another one the block runs to its end.
    """

    def __init__(self, request: Request) -> None:
        self._connection: Connection | None = request.scope.get("extensions", {}).get(CONNECTION)
        self._is_lost = False

    def __enter__(self) -> None:
        if self._connection is None:
            return
        if self._connection.is_lost:
            raise ClientClosedRequest("the client disconnected before its answer")
        self._task = asyncio.current_task()
        self._connection.when_lost = self._cancel

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if self._connection is None:
            return
        self._connection.when_lost = None
        if self._is_lost and isinstance(error, asyncio.CancelledError) and self._task is not None:
            self._task.uncancel()
            raise ClientClosedRequest("the client disconnected before its answer") from None

    def _cancel(self) -> None:
        self._is_lost = True
        if self._task is not None:
            self._task.cancel()
