"""SIGTERM starts a drain; tested with real signals."""

import asyncio
import signal
from collections.abc import Callable, Iterator

import pytest

from serving.process.stopping import drain_on_sigterm


@pytest.fixture
def ends() -> Iterator[list[int]]:
    """The calls of the earlier handler of SIGTERM; it replaces the server's own."""
    calls: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _frame: calls.append(number))
    yield calls
    signal.signal(signal.SIGTERM, before)


async def turn_until(condition: Callable[[], bool]) -> None:
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0)
    pytest.fail("the condition is still false after 1000 turns of the event loop")


def test_the_first_sigterm_drains_and_then_stops(ends: list[int]) -> None:
    async def run() -> None:
        drained = asyncio.Event()

        async def drain() -> None:
            assert ends == []
            drained.set()

        drain_on_sigterm(drain)
        signal.raise_signal(signal.SIGTERM)
        await drained.wait()
        await turn_until(lambda: ends == [signal.SIGTERM])

    asyncio.run(run())


def test_a_second_sigterm_stops_immediately_during_the_drain(ends: list[int]) -> None:
    async def run() -> None:
        draining = asyncio.Event()

        async def drain() -> None:
            draining.set()
            await asyncio.Event().wait()  # waits forever

        drain_on_sigterm(drain)
        signal.raise_signal(signal.SIGTERM)
        await draining.wait()
        assert ends == []
        signal.raise_signal(signal.SIGTERM)
        await turn_until(lambda: ends == [signal.SIGTERM])

    asyncio.run(run())


def test_a_failed_drain_still_stops_the_server(ends: list[int]) -> None:
    async def run() -> None:
        async def drain() -> None:
            raise RuntimeError("the drain failed")

        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        drain_on_sigterm(drain)
        signal.raise_signal(signal.SIGTERM)
        await turn_until(lambda: ends == [signal.SIGTERM])

    asyncio.run(run())
