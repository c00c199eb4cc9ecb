"""A caller that goes away ends its request, so that its waiting texts leave the queue."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from starlette.requests import Request

from classifier.errors import CallerGone, RequestError

CONNECTION = "classifier.connection"
"""The name under which the protocol puts the connection into a scope's extensions."""


class Connection(Protocol):
    """What a caller came by.

    A task for each request that waits on `receive` would take more than a light model does.
    """

    is_lost: bool

    when_lost: Callable[[], None] | None

    failure: RequestError | None
    """What the client was told where the connection ended within a request's body."""


def take_failure(request: Request) -> RequestError | None:
    """Why the connection ended within the request's body, where that was the server's doing.

    It is taken from the connection, to be raised: kept there, it would keep all that its traceback refers to.
    """
    connection: Connection | None = request.scope.get("extensions", {}).get(CONNECTION)
    if connection is None:
        return None
    failure, connection.failure = connection.failure, None
    return failure


class EndedByHangup:
    """A block that is cancelled when the request's caller goes away; it then raises CallerGone.

    Only where the server's protocol says so: elsewhere the block is run to its end.
    """

    def __init__(self, request: Request) -> None:
        self._connection: Connection | None = request.scope.get("extensions", {}).get(CONNECTION)
        self._is_gone = False

    def __enter__(self) -> None:
        if self._connection is None:
            return
        if self._connection.is_lost:
            raise CallerGone("the caller went away before its answer")
        self._task = asyncio.current_task()
        self._connection.when_lost = self._end

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if self._connection is None:
            return
        self._connection.when_lost = None
        if self._is_gone and isinstance(error, asyncio.CancelledError) and self._task is not None:
            self._task.uncancel()
            raise CallerGone("the caller went away before its answer") from None

    def _end(self) -> None:
        self._is_gone = True
        if self._task is not None:
            self._task.cancel()
