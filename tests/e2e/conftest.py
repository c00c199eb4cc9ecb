"""Fixtures: real servers on free ports, started with `text-classifier serve` as by `make serve`."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from ports import free_port
from signals import default_signals

BY_MAKE = (sys.executable, "-m", "cli", "serve")

DEADLINE_SECONDS = 60


@dataclass
class Server:
    """A running server process."""

    process: subprocess.Popen[bytes]
    address: str
    port: int
    log_file: Path

    @property
    def url(self) -> str:
        return f"http://{self.address}:{self.port}"

    @property
    def log(self) -> str:
        return self.log_file.read_text(encoding="utf-8", errors="replace")

    def is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/readyz").status_code == 200
        except httpx.TransportError:
            return False

    def stop(self) -> int:
        """Stop the server as a container runtime does; return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(DEADLINE_SECONDS)


def _wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"timed out after {DEADLINE_SECONDS} s waiting until {what}"
        time.sleep(0.02)


def environment(home: Path, settings: Mapping[str, str]) -> dict[str, str]:
    """The server's environment: its own store and these settings, without the user's settings."""
    inherited = {name: value for name, value in os.environ.items() if "CLASSIFIER_" not in name}
    return inherited | {"BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "True"} | dict(settings)


Serve = Callable[..., AbstractContextManager[Server]]
Refuse = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def wait_until() -> Callable[[Callable[[], bool], str], None]:
    """Poll until a condition holds; fail after a minute."""
    return _wait_until


@pytest.fixture(scope="session")
def serve(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Serve:
    """Start a server with the store in `home`, wait until it is ready, and stop it at the end."""

    @contextmanager
    def serve(
        home: Path,
        command: Sequence[str] = BY_MAKE,
        address: str = "127.0.0.1",
        port: int | None = None,
        **settings: str,
    ) -> Iterator[Server]:
        port = port or free_port()
        log_file = tmp_path_factory.mktemp("log") / "server.log"
        with log_file.open("wb") as log:
            process = subprocess.Popen(
                command,
                cwd=project,
                env=environment(home, {"CLASSIFIER__API__PORT": str(port)} | settings),
                stdout=log,
                stderr=subprocess.STDOUT,
                preexec_fn=default_signals,  # noqa: PLW1509 - no thread of the tests holds a lock here
            )
        server = Server(process, address, port, log_file)
        try:
            _wait_until(
                lambda: server.is_ready() or process.poll() is not None,
                f"{server.url} is ready: {server.log}",
            )
            assert process.poll() is None, server.log
            yield server
        finally:
            if process.poll() is None:
                server.stop()

    return serve


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


@pytest.fixture(scope="session")
def imdb(project: Path) -> Path:
    """The folder with the whole data set."""
    shared = project.parent / "shared"
    folder = shared / "data" / "imdb"
    missing = [path for path in (folder / "train.parquet", folder / "test.parquet") if not path.exists()]
    if missing:
        if "REQUIRE_FULL_DATA" in os.environ or ("CI" in os.environ and shared.exists()):
            pytest.fail(f"{missing[0]} is missing, and this test is required here")
        pytest.skip(f"{missing[0]} is missing")
    return folder
