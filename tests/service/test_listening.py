"""The listening socket: how connections are accepted, and when they are refused."""

import asyncio
import contextlib
import errno
import resource
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from serving.process.listening import (
    MAX_ACCEPTED_PER_TURN,
    OTHER_FILES,
    Loop,
    room_for_connections,
    stop_listening,
)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as listener:
        yield listener


def connect(listener: socket.socket) -> socket.socket:
    return socket.create_connection(listener.getsockname(), 60)


def turns_until_connected(listener: socket.socket, count: int) -> int:
    """Count the turns of the event loop until `count` waiting connections are set up."""

    async def run() -> int:
        connected = 0

        class Counted(asyncio.Protocol):
            def connection_made(self, _transport: asyncio.BaseTransport) -> None:
                nonlocal connected
                connected += 1

        with contextlib.ExitStack() as clients:
            for _ in range(count):
                clients.enter_context(connect(listener))
            server = await asyncio.get_running_loop().create_server(Counted, sock=listener, backlog=4096)
            turns = 0
            while connected < count:
                turns += 1
                await asyncio.sleep(0)
            server.close()
            return turns

    return run_in_loop(run)


def run_in_loop(main: Callable[[], Any]) -> Any:
    with asyncio.Runner(loop_factory=Loop) as runner:
        return runner.run(main())


def test_all_waiting_connections_are_accepted_in_one_turn(listener: socket.socket) -> None:
    assert turns_until_connected(listener, 300) < 20


def test_connections_above_the_limit_of_a_turn_are_accepted_in_the_next_turns(
    listener: socket.socket,
) -> None:
    assert turns_until_connected(listener, 2 * MAX_ACCEPTED_PER_TURN + 1) < 40


def test_a_closed_server_refuses_connections_although_another_process_holds_the_socket(
    listener: socket.socket,
) -> None:
    held_elsewhere = listener.dup()

    async def run() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(asyncio.Protocol, sock=listener)
        server.close()
        server.close()
        await server.wait_closed()

    with held_elsewhere:
        run_in_loop(run)
        with pytest.raises(ConnectionRefusedError):
            connect(held_elsewhere)
        # The next worker listens on the same socket, and its connections can carry bytes.
        stop_listening(held_elsewhere)
        held_elsewhere.listen()
        with connect(held_elsewhere) as client, held_elsewhere.accept()[0] as accepted:
            accepted.sendall(b"x")
            assert client.recv(1) == b"x"


def test_a_process_that_cannot_open_more_files_pauses_and_continues(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Exhausted:
        """A listening socket that cannot accept the first three times, because too many files are open."""

        def __init__(self) -> None:
            self.times = 0

        def __getattr__(self, name: str) -> Any:
            return getattr(listener, name)

        def accept(self) -> Any:
            self.times += 1
            if self.times <= 3:
                raise OSError(errno.EMFILE, "Too many open files")
            return listener.accept()

    async def run() -> int:
        exhausted = Exhausted()
        loop = asyncio.get_running_loop()
        connected = loop.create_future()

        class Connected(asyncio.Protocol):
            def connection_made(self, _transport: asyncio.BaseTransport) -> None:
                connected.set_result(None)

        server = await loop.create_server(Connected, sock=exhausted)  # type: ignore[call-overload]
        with connect(listener):
            await asyncio.wait_for(connected, 60)
        server.close()
        return exhausted.times

    monkeypatch.setattr("serving.process.listening.PAUSE_SECONDS", 0.01)
    with capture_logs() as log:
        assert run_in_loop(run) >= 4
    assert [line["event"] for line in log] == ["cannot_accept"] * 3


@pytest.fixture
def files() -> Iterator[tuple[int, int]]:
    """The limits of open files. They are restored after the test."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield limits
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_the_limit_of_open_files_is_raised_as_far_as_the_connections_need(files: tuple[int, int]) -> None:
    hard = files[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, hard))
    assert room_for_connections(2000) == 2000
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (2000 + OTHER_FILES, hard)
    assert room_for_connections(100) == 100
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (2000 + OTHER_FILES, hard)


def test_a_low_limit_of_open_files_leaves_room_for_fewer_connections_and_is_logged(
    files: tuple[int, int],
) -> None:
    hard = files[1]
    if hard == resource.RLIM_INFINITY:
        pytest.skip("this process may open any number of files")
    with capture_logs() as log:
        assert room_for_connections(hard) == hard - OTHER_FILES
    (line,) = log
    assert (line["event"], line["wanted"], line["room"]) == ("fewer_connections", hard, hard - OTHER_FILES)
