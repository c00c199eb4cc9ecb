"""The limits of a pod, what happens beyond them, and how the number of pods follows the load."""

import json
import os
import socket
import threading
import time
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
from cluster import (
    APPLICATION,
    DEPLOYMENT,
    PODS,
    TEXTS,
    OpenLoad,
    UnderLoad,
    container_status,
    in_namespace,
    objects,
    ready_pods,
    rollout_status,
    wait_until,
)

from k8s.environment.values import amount

FULL_LOAD_SECONDS = float(os.environ.get("CLUSTER_FULL_LOAD_SECONDS", "600"))
LONG_TEXT = " ".join(TEXTS * 20)
MEBIBYTE = 2**20


class FullLoad:
    """Batches of 50 long texts from clients that never pause.

    Each batch has its own connection, so that pods that start later receive some.
    """

    def __init__(self, url: str, clients: int = 16) -> None:
        self.answered = self.refused = 0
        self.others: list[str] = []
        body = json.dumps({"texts": [LONG_TEXT] * 50})
        lines = [
            "POST /predict/batch HTTP/1.1",
            "host: x",
            "connection: close",
            "content-type: application/json",
            f"content-length: {len(body)}",
        ]
        self._request = "\r\n".join([*lines, "", body]).encode()
        self._address = (urlsplit(url).hostname, urlsplit(url).port)
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(clients)]

    def __enter__(self) -> "FullLoad":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask(self) -> None:
        while not self._stop.is_set():
            try:
                with socket.create_connection(self._address, 30) as connection:
                    connection.sendall(self._request)
                    status = connection.recv(12)[9:]
                    while connection.recv(2**20):
                        pass
            except OSError as error:
                self.others.append(repr(error))
                continue
            if status == b"200":
                self.answered += 1
            elif status in {b"503", b"504"}:
                self.refused += 1
                time.sleep(0.1)
            else:
                self.others.append(f"status {status!r}")

    def rate(self, seconds: float) -> float:
        before = self.answered
        time.sleep(seconds)
        return (self.answered - before) / seconds


def give_cpu(request: str, limit: str) -> None:
    """Change the CPU of each pod, and wait until all pods have it."""
    in_namespace("set", "resources", DEPLOYMENT, f"--requests=cpu={request}", f"--limits=cpu={limit}")
    rollout_status()


def memory_megabytes(pod: str) -> float:
    """The memory that counts against the pod's limit, without what the kernel would reclaim."""
    read = (
        "import pathlib as p; v2 = p.Path('/sys/fs/cgroup/memory.current'); "
        "b = p.Path('/sys/fs/cgroup' if v2.exists() else '/sys/fs/cgroup/memory'); "
        "use = int((b / ('memory.current' if v2.exists() else 'memory.usage_in_bytes')).read_text()); "
        "stat = dict(line.split() for line in (b / 'memory.stat').read_text().splitlines()); "
        "print(use - int(stat.get('inactive_file', stat.get('total_inactive_file', 0))))"
    )
    return int(in_namespace("exec", pod, "--", "python3", "-c", read)) / MEBIBYTE


def restarts() -> int:
    return sum(
        status["restartCount"]
        for pod in objects("pods")
        for status in pod["status"].get("containerStatuses", [])
    )


def test_under_full_load_pods_are_added_and_later_removed(
    url: str, record_property: Callable[[str, object], None]
) -> None:
    give_cpu("150m", "300m")  # little enough that the cores suffice for more pods
    wait_until(lambda: len(ready_pods()) == PODS, "the minimum number of pods is ready")
    in_namespace("patch", "horizontalpodautoscaler", APPLICATION, "--patch", '{"spec": {"maxReplicas": 5}}')
    timeline: list[str] = []
    begin = time.monotonic()

    def note(what: str) -> None:
        timeline.append(f"{time.monotonic() - begin:.0f} s: {what}")

    with FullLoad(url) as load:
        first = load.rate(10)
        note(f"{PODS} pods, {first:.1f} batches/s")
        wait_until(lambda: len(ready_pods()) > PODS, "more pods are ready", 240)
        note(f"{len(ready_pods())} pods are ready")
        wait_until(lambda: len(ready_pods()) >= PODS + 2, "two more pods are ready", 240)
        then = load.rate(10)
        note(f"{len(ready_pods())} pods, {then:.1f} batches/s")
    wait_until(lambda: len(ready_pods()) == PODS, "the additional pods are removed", 300)
    note(f"{PODS} pods")
    record_property("timeline", timeline)
    print("; ".join(timeline))  # noqa: T201
    assert load.others == []
    assert then > first


def test_a_pod_under_full_load_stays_live_and_within_its_memory(
    url: str, record_property: Callable[[str, object], None]
) -> None:
    give_cpu("250m", "500m")
    (deployment,) = objects("deployments")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    limit = float(amount(container["resources"]["limits"]["memory"])) / MEBIBYTE
    before = restarts()
    seen = []
    with FullLoad(url) as load:
        deadline = time.monotonic() + FULL_LOAD_SECONDS
        while time.monotonic() < deadline:
            seen.append(max(map(memory_megabytes, ready_pods())))
            time.sleep(5)
    record_property("megabytes", [min(seen), max(seen)])
    print(f"{min(seen):.0f} to {max(seen):.0f} MiB, {load.answered} batches, {load.refused} refused")  # noqa: T201
    assert max(seen) < 0.9 * limit
    assert restarts() == before
    assert load.others == []
    assert load.answered > 0


FIND_THE_WORKER = """
import os, pathlib, signal, time
(worker,) = [
    int(folder.name)
    for folder in pathlib.Path("/proc").iterdir()
    if folder.name.isdigit() and b"worker.service" in (folder / "cmdline").read_bytes()
]
"""
KILL_THE_WORKER = f"{FIND_THE_WORKER}os.kill(worker, signal.SIGKILL)"
STOP_THE_WORKER = f"{FIND_THE_WORKER}os.kill(worker, signal.SIGSTOP)"
# Starts processes smaller than the worker until the kernel kills the largest process, which is the worker.
FILL_THE_MEMORY = f"""{FIND_THE_WORKER}
fillers = []
while pathlib.Path("/proc", str(worker)).exists() and len(fillers) < 64:
    fillers.append(os.fork())
    if fillers[-1] == 0:
        taken = b"x" * (48 * 2**20)
        time.sleep(60)
        os._exit(0)
    time.sleep(0.2)
for filler in fillers:
    os.kill(filler, signal.SIGKILL)
"""


def models_loaded(pod: str) -> int:
    """How many workers of the pod's running container have loaded their model."""
    return in_namespace("logs", pod).count('"model_loaded"')


@pytest.mark.parametrize(
    ("which", "how", "longest"),
    [(0, KILL_THE_WORKER, 1.0), (1, STOP_THE_WORKER, 12.0)],
    ids=["killed", "stopped"],
)
def test_a_pods_worker_that_dies_or_hangs_loses_requests_only_until_the_next_one_is_ready(
    under_load: UnderLoad, which: int, how: str, longest: float
) -> None:
    pod = ready_pods()[which]
    container, loaded = container_status(pod)["containerID"], models_loaded(pod)
    with under_load(OpenLoad) as load:
        time.sleep(2)
        assert load.failures == []
        in_namespace("exec", "--stdin", pod, "--", "python3", "-", stdin=how)
        wait_until(lambda: models_loaded(pod) == loaded + 1, "another worker has loaded its model")
        wait_until(lambda: pod in ready_pods(), "the pod is ready")
        time.sleep(2)
        lost = len(load.failures)
        time.sleep(5)
        assert len(load.failures) == lost
    assert container_status(pod)["containerID"] == container
    assert all("Error" in failure for failure in load.failures)
    assert load.longest_failure < longest
    assert load.by_model[0] == load.requests - len(load.failures)


def test_several_kills_in_a_row_do_not_stop_the_container(under_load: UnderLoad) -> None:
    pod = ready_pods()[0]
    container, loaded = container_status(pod)["containerID"], models_loaded(pod)
    with under_load(OpenLoad) as load:
        for kills in range(1, 6):
            in_namespace("exec", "--stdin", pod, "--", "python3", "-", stdin=KILL_THE_WORKER)
            wait_until(lambda kills=kills: models_loaded(pod) == loaded + kills, "another worker is loaded")
        wait_until(lambda: pod in ready_pods(), "the pod is ready")
    assert container_status(pod)["containerID"] == container
    assert load.longest_failure < 1


def test_a_worker_that_the_kernel_kills_because_memory_is_full_is_replaced(under_load: UnderLoad) -> None:
    """The worker is replaced in its container, or with it if the kernel kills the whole container."""
    pod, before = ready_pods()[0], restarts()
    loaded = models_loaded(pod)
    with under_load(OpenLoad) as load:
        in_namespace("exec", "--stdin", pod, "--", "python3", "-", stdin=FILL_THE_MEMORY, check=False)
        wait_until(lambda: models_loaded(pod) > loaded or restarts() > before, "a worker is started again")
        wait_until(lambda: pod in ready_pods(), "the pod is ready again")
        time.sleep(2)
        lost = len(load.failures)
        time.sleep(5)
        assert len(load.failures) == lost
    if restarts() > before:
        assert container_status(pod)["lastState"]["terminated"]["reason"] == "OOMKilled"
    assert all("Error" in failure for failure in load.failures)
    assert load.by_model[0] > len(load.failures)
