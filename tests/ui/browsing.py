"""The web client as a process, and its pages in a browser."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from playwright.sync_api import Error, Page, expect
from ports import free_port
from server_process import PROJECT, wait_until
from signals import default_signals

WIDE, NARROW, HEIGHT = 1440, 390, 900
PATIENCE_MS = 30_000
OPEN_MS = 3_000
"""How long a list stays open for a click, unless the script of the page runs."""
expect.set_options(timeout=PATIENCE_MS)


@dataclass(frozen=True)
class Web:
    """A running web client."""

    process: subprocess.Popen[bytes]
    url: str
    service_url: str
    jobs: Path
    log_file: Path

    @property
    def log(self) -> str:
        return self.log_file.read_text(encoding="utf-8", errors="replace")

    def is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/_stcore/health").status_code == 200
        except httpx.TransportError:
            return False


@contextmanager
def running_web(folder: Path, service_url: str, **variables: str) -> Iterator[Web]:
    """Start the web client as `make ui` does, wait until it is ready, and stop it at the end."""
    port = free_port()
    log_file = folder / "web.log"
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("CLASSIFIER_")}
    variables = {"CLASSIFIER_URL": service_url, "CLASSIFIER_UI_JOBS_FOLDER": str(folder / "jobs")} | variables
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            (
                *(Path(sys.executable).with_name("streamlit"), "run", "ui/app.py"),
                *("--server.port", str(port), "--server.headless", "true"),
            ),
            cwd=PROJECT,
            env=inherited | variables,
            stdout=log,
            stderr=subprocess.STDOUT,
            preexec_fn=default_signals,  # noqa: PLW1509 - no thread of the tests holds a lock here
        )
    web = Web(process, f"http://127.0.0.1:{port}", service_url, folder / "jobs", log_file)
    try:
        wait_until(lambda: web.is_ready() or process.poll() is not None, f"{web.url} is ready: {web.log}")
        assert process.poll() is None, web.log
        yield web
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(20)


OpenPage = Callable[..., AbstractContextManager[Page]]


def choose(page: Page, name: str, option: str) -> None:
    """Choose an option of a list, which closes whenever the script of the page runs; then open it again."""
    wanted = page.get_by_role("option", name=option)
    for _ in range(PATIENCE_MS // OPEN_MS):
        page.get_by_role("combobox", name=name).click()
        try:
            wanted.click(timeout=OPEN_MS)
        except Error:  # The option was not there long enough.
            page.keyboard.press("Escape")
        else:
            return
    wanted.click()
