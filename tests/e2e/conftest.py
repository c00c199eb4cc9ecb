"""Fixtures: real servers on free ports, started with `text-classifier serve` as by `make serve`."""

import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from ports import free_port
from server_process import BY_MAKE, DEADLINE_SECONDS, Server, environment, running_server, wait_until

Serve = Callable[..., AbstractContextManager[Server]]
Refuse = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session", name="wait_until")
def wait_until_fixture() -> Callable[[Callable[[], bool], str], None]:
    """Poll until a condition holds; fail after a minute."""
    return wait_until


@pytest.fixture(scope="session")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Serve:
    """Start a server with the store in `home`, wait until it is ready, and stop it at the end."""
    return lambda home, *arguments, **settings: running_server(
        home, tmp_path_factory.mktemp("log") / "server.log", *arguments, **settings
    )


@pytest.fixture(scope="session")
def refuse(project: Path) -> Refuse:
    """Run a server that should refuse to start; return its exit code and output."""

    def refuse(
        home: Path, command: Sequence[str] = BY_MAKE, **settings: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=project,
            env=environment(home, {"CLASSIFIER__API__PORT": str(free_port())} | settings),
            capture_output=True,
            text=True,
            timeout=DEADLINE_SECONDS,
            check=False,
        )

    return refuse


@pytest.fixture(scope="session")
def server(serve: Serve, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server that the tests of this folder share."""
    with serve(tmp_path_factory.mktemp("store")) as server:
        yield server
