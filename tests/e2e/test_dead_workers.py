"""The parent process and its worker: what happens when either dies, hangs or is told to end."""

import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

BY_MAKE = (sys.executable, "-m", "cli", "serve")
BY_BENTOML = (str(Path(sys.executable).parent / "bentoml"), "serve", "service:TextClassifier")
IN_A_CONTAINER = {"BENTOML_CONTAINERIZED": "true"}
"""With it BentoML starts no worker in the place of one that died."""

HANG_SECONDS = 4
"""A caller who has no answer after so long hangs; without supervision it would be up to ten."""

every_way = pytest.mark.parametrize(
    ("command", "settings"),
    [(BY_MAKE, {}), (BY_BENTOML, {}), ((*BY_BENTOML, "--timeout-graceful-shutdown", "30"), IN_A_CONTAINER)],
    ids=["make serve", "bentoml serve", "container"],
)


def worker_of(server: Any) -> psutil.Process:
    (worker,) = workers_of(server)
    return worker


def workers_of(server: Any) -> list[psutil.Process]:
    """The processes that the parent has started and that have not ended: it starts none but workers."""
    return [child for child in psutil.Process(server.process.pid).children() if not has_ended(child)]


def has_ended(process: psutil.Process) -> bool:
    """Whether it is gone, or is only waiting for its exit code to be read."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def status_or_error(server: Any) -> int | str:
    """What a new caller gets; a caller who hangs gets `ReadTimeout`."""
    try:
        return httpx.get(f"{server.url}/readyz", timeout=HANG_SECONDS).status_code
    except httpx.TransportError as error:
        return type(error).__name__


def seen_until_ready(server: Any, wait_until: Any) -> list[int | str]:
    """What new callers get, one after the other, until one is answered."""
    seen: list[int | str] = []

    def is_answered() -> bool:
        seen.append(status_or_error(server))
        return seen[-1] == 200

    wait_until(is_answered, "a caller is answered")
    return seen


@pytest.fixture(scope="module")
def home(bundled: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the bundled model."""
    import model_store

    model_store.save(bundled)
    return shutil.copytree(
        os.environ["BENTOML_HOME"], tmp_path_factory.mktemp("home") / "store", symlinks=True
    )


@every_way
def test_a_killed_worker_is_replaced_and_new_callers_do_not_hang(
    serve: Any, wait_until: Any, home: Path, command: tuple[str, ...], settings: dict[str, str]
) -> None:
    with serve(home, command, **settings) as server:
        killed = worker_of(server)
        killed.kill()
        seen = seen_until_ready(server, wait_until)
        assert worker_of(server) != killed
        answer = httpx.post(f"{server.url}/predict", json={"text": "A wonderful film."})
        assert answer.json()["label"] == "positive"
        assert server.stop() == 0
    assert "ReadTimeout" not in seen
    assert "worker_died" in server.log
    assert "exit_code=-9" in server.log


def test_a_service_survives_several_kills_of_its_worker_in_a_row(
    serve: Any, wait_until: Any, home: Path
) -> None:
    with serve(home, BY_BENTOML, **IN_A_CONTAINER) as server:
        for _ in range(5):
            worker_of(server).kill()
            assert "ReadTimeout" not in seen_until_ready(server, wait_until)
        assert server.process.poll() is None


def test_a_worker_that_is_killed_while_it_starts_is_replaced_too(
    serve: Any, wait_until: Any, home: Path
) -> None:
    with serve(home, BY_BENTOML, **IN_A_CONTAINER) as server:
        for _ in range(3):
            killed = worker_of(server)
            killed.kill()
            wait_until(lambda killed=killed: workers_of(server) not in ([], [killed]), "another starts")
        assert "ReadTimeout" not in seen_until_ready(server, wait_until)


@pytest.mark.parametrize("settings", [{}, IN_A_CONTAINER], ids=["process", "container"])
def test_a_worker_that_is_stopped_is_killed_and_replaced(
    serve: Any, wait_until: Any, home: Path, settings: dict[str, str]
) -> None:
    with serve(home, BY_BENTOML, CLASSIFIER__WORKER__MAX_SILENT_SECONDS="2", **settings) as server:
        stopped = worker_of(server)
        stopped.suspend()
        wait_until(lambda: has_ended(stopped), "the worker is killed")
        seen_until_ready(server, wait_until)
        assert worker_of(server) != stopped
        assert server.stop() == 0
    assert "worker_hangs" in server.log


def test_a_stopped_worker_does_not_keep_the_service_from_ending(serve: Any, home: Path) -> None:
    with serve(home, BY_BENTOML, CLASSIFIER__WORKER__MAX_SILENT_SECONDS="2") as server:
        worker_of(server).suspend()
        server.stop()


def test_a_worker_that_cannot_start_any_more_ends_the_service_with_one_sentence(
    serve: Any, home: Path, tmp_path: Path
) -> None:
    spoilt = shutil.copytree(home, tmp_path / "spoilt", symlinks=True)
    with serve(spoilt, BY_BENTOML, **IN_A_CONTAINER) as server:
        for weights in spoilt.rglob("weights.npz"):
            weights.unlink()
        worker_of(server).kill()
        assert server.process.wait(120) == 1
    assert server.log.splitlines()[-1] == (
        "error: the worker died 10 times in a row before it could serve; "
        "the reason is above, and the service ends"
    )


@every_way
def test_a_worker_ends_when_its_parent_is_killed(
    serve: Any, wait_until: Any, home: Path, command: tuple[str, ...], settings: dict[str, str]
) -> None:
    with serve(home, command, **settings) as server:
        worker = worker_of(server)
        server.process.kill()
        wait_until(lambda: has_ended(worker), "the worker has ended")
        with pytest.raises(httpx.ConnectError):
            httpx.get(server.url)


@pytest.mark.parametrize("command", [BY_MAKE, BY_BENTOML], ids=["make serve", "bentoml serve"])
def test_a_hang_up_ends_the_service_as_sigterm_does(serve: Any, home: Path, command: tuple[str, ...]) -> None:
    with serve(home, command) as server:
        server.process.send_signal(signal.SIGHUP)
        assert server.process.wait(60) == 0
    assert "drained" in server.log


def test_a_hang_up_does_not_end_a_service_under_nohup(serve: Any, wait_until: Any, home: Path) -> None:
    with serve(home, ("nohup", *BY_BENTOML)) as server:
        server.process.send_signal(signal.SIGHUP)
        worker_of(server).kill()
        seen_until_ready(server, wait_until)  # A service that ends would start no other worker.


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_a_long_lame_duck_at_once(
    serve: Any, wait_until: Any, home: Path, second: signal.Signals
) -> None:
    with serve(home, BY_BENTOML, CLASSIFIER__API__LAME_DUCK_SECONDS="600") as server:
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: not server.is_ready(), "the service is a lame duck")
        assert status_or_error(server) == 503
        server.process.send_signal(second)
        assert server.process.wait(60) == 0
