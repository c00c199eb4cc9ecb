"""The parent process and its worker: what happens when one of them dies, hangs or must stop."""

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
"""With this setting, BentoML does not replace a worker that died."""

HANG_SECONDS = 4
"""A client without an answer after this time hangs. Without supervision, it could take ten seconds."""

every_way = pytest.mark.parametrize(
    ("command", "settings"),
    [(BY_MAKE, {}), (BY_BENTOML, {}), ((*BY_BENTOML, "--timeout-graceful-shutdown", "30"), IN_A_CONTAINER)],
    ids=["make serve", "bentoml serve", "container"],
)


def worker_of(server: Any) -> psutil.Process:
    (worker,) = workers_of(server)
    return worker


def workers_of(server: Any) -> list[psutil.Process]:
    """The running children of the parent process, which starts only workers."""
    return [child for child in psutil.Process(server.process.pid).children() if not has_ended(child)]


def has_ended(process: psutil.Process) -> bool:
    """Whether a process has ended; its exit code may still be unread."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def status_or_error(server: Any) -> int | str:
    """The answer or the error of a new client; a client that hangs gets `ReadTimeout`."""
    try:
        return httpx.get(f"{server.url}/readyz", timeout=HANG_SECONDS).status_code
    except httpx.TransportError as error:
        return type(error).__name__


def results_until_ready(server: Any, wait_until: Any) -> list[int | str]:
    """The results of new clients, one after another, until one is answered."""
    results: list[int | str] = []

    def is_answered() -> bool:
        results.append(status_or_error(server))
        return results[-1] == 200

    wait_until(is_answered, "a client is answered")
    return results


@pytest.fixture(scope="module")
def home(bundled: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the bundled model."""
    import model_store

    model_store.save(bundled)
    return shutil.copytree(
        os.environ["BENTOML_HOME"], tmp_path_factory.mktemp("home") / "store", symlinks=True
    )


@every_way
def test_a_killed_worker_is_replaced_and_new_clients_do_not_hang(
    serve: Any, wait_until: Any, home: Path, command: tuple[str, ...], settings: dict[str, str]
) -> None:
    with serve(home, command, **settings) as server:
        killed = worker_of(server)
        killed.kill()
        results = results_until_ready(server, wait_until)
        assert worker_of(server) != killed
        answer = httpx.post(f"{server.url}/predict", json={"text": "A wonderful film."})
        assert answer.json()["label"] == "positive"
        assert server.stop() == 0
    assert "ReadTimeout" not in results
    assert "worker_died" in server.log
    assert "signal=SIGKILL" in server.log


def test_a_service_survives_several_kills_of_its_worker_in_a_row(
    serve: Any, wait_until: Any, home: Path
) -> None:
    with serve(home, BY_BENTOML, **IN_A_CONTAINER) as server:
        for _ in range(5):
            worker_of(server).kill()
            assert "ReadTimeout" not in results_until_ready(server, wait_until)
        assert server.process.poll() is None


def test_a_worker_that_is_killed_while_it_starts_is_also_replaced(
    serve: Any, wait_until: Any, home: Path
) -> None:
    with serve(home, BY_BENTOML, **IN_A_CONTAINER) as server:
        for _ in range(3):
            killed = worker_of(server)
            killed.kill()
            wait_until(lambda killed=killed: workers_of(server) not in ([], [killed]), "another one starts")
        assert "ReadTimeout" not in results_until_ready(server, wait_until)


@pytest.mark.parametrize("settings", [{}, IN_A_CONTAINER], ids=["process", "container"])
def test_a_worker_that_is_stopped_is_killed_and_replaced(
    serve: Any, wait_until: Any, home: Path, settings: dict[str, str]
) -> None:
    with serve(home, BY_BENTOML, CLASSIFIER__WORKER__MAX_SILENT_SECONDS="2", **settings) as server:
        stopped = worker_of(server)
        stopped.suspend()
        wait_until(lambda: has_ended(stopped), "the worker is killed")
        results_until_ready(server, wait_until)
        assert worker_of(server) != stopped
        assert server.stop() == 0
    assert "worker_hangs" in server.log


def test_a_stopped_worker_does_not_keep_the_service_from_stopping(serve: Any, home: Path) -> None:
    with serve(home, BY_BENTOML, CLASSIFIER__WORKER__MAX_SILENT_SECONDS="2") as server:
        worker_of(server).suspend()
        server.stop()


def test_a_worker_that_can_no_longer_start_stops_the_service_with_a_one_sentence_error(
    serve: Any, home: Path, tmp_path: Path
) -> None:
    damaged = shutil.copytree(home, tmp_path / "damaged", symlinks=True)
    with serve(damaged, BY_BENTOML, **IN_A_CONTAINER) as server:
        for weights in damaged.rglob("weights.npz"):
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
def test_sighup_stops_the_service_as_sigterm_does(serve: Any, home: Path, command: tuple[str, ...]) -> None:
    with serve(home, command) as server:
        server.process.send_signal(signal.SIGHUP)
        assert server.process.wait(60) == 0
    assert "drained" in server.log


def test_sighup_does_not_stop_a_service_under_nohup(serve: Any, wait_until: Any, home: Path) -> None:
    with serve(home, ("nohup", *BY_BENTOML)) as server:
        server.process.send_signal(signal.SIGHUP)
        worker_of(server).kill()
        results_until_ready(server, wait_until)  # a service that stops would not start another worker


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_a_long_lame_duck_immediately(
    serve: Any, wait_until: Any, home: Path, second: signal.Signals
) -> None:
    with serve(home, BY_BENTOML, CLASSIFIER__API__LAME_DUCK_SECONDS="600") as server:
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: not server.is_ready(), "the service is a lame duck")
        assert status_or_error(server) == 503
        server.process.send_signal(second)
        assert server.process.wait(60) == 0
