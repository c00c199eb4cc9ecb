"""Real servers on free ports, started with `text-classifier serve` as by `make serve`."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from ports import free_port
from signals import default_signals

PROJECT = Path(__file__).parent.parent.parent

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


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"timed out after {DEADLINE_SECONDS} s waiting until {what}"
        time.sleep(0.02)


def environment(home: Path, settings: Mapping[str, str]) -> dict[str, str]:
    """The server's environment: its own store and these settings, without the user's settings."""
    inherited = {name: value for name, value in os.environ.items() if "CLASSIFIER_" not in name}
    return inherited | {"BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "True"} | dict(settings)


@contextmanager
def running_server(
    home: Path,
    log_file: Path,
    command: Sequence[str] = BY_MAKE,
    address: str = "127.0.0.1",
    port: int | None = None,
    **settings: str,
) -> Iterator[Server]:
    """Start a server with the store in `home`, wait until it is ready, and stop it at the end."""
    port = port or free_port()
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=PROJECT,
            env=environment(home, {"CLASSIFIER__API__PORT": str(port)} | settings),
            stdout=log,
            stderr=subprocess.STDOUT,
            preexec_fn=default_signals,  # noqa: PLW1509 - no thread of the tests holds a lock here
        )
    server = Server(process, address, port, log_file)
    try:
        wait_until(
            lambda: server.is_ready() or process.poll() is not None,
            f"{server.url} is ready: {server.log}",
        )
        assert process.poll() is None, server.log
        yield server
    finally:
        if process.poll() is None:
            server.stop()
