"""A caller that goes away ends its request, so that its waiting texts leave the queue."""

import asyncio

from starlette.requests import Request

from classifier.errors import CallerGone

PATIENCE_SECONDS = 0.1
"""A request that is answered sooner is not watched, which would cost every request a task."""


class EndedByHangup:
    """A block that is cancelled when the request's caller goes away; it then raises CallerGone.

    The request's body must have been read to its end.
    """

    def __init__(self, request: Request) -> None:
        self._request = request
        self._watcher: asyncio.Task[None] | None = None
        self._is_gone = False

    def __enter__(self) -> None:
        self._task = asyncio.current_task()
        self._handle = asyncio.get_running_loop().call_later(PATIENCE_SECONDS, self._start)

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        self._handle.cancel()
        if self._watcher is not None:
            self._watcher.cancel()
        if self._is_gone and isinstance(error, asyncio.CancelledError) and self._task is not None:
            self._task.uncancel()
            raise CallerGone("the caller went away before its answer") from None

    def _start(self) -> None:
        self._watcher = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        while (await self._request.receive())["type"] != "http.disconnect":
            pass
        self._is_gone = True
        if self._task is not None:
            self._task.cancel()
