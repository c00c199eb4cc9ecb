"""The parent's supervision of a worker, with a simulated clock, real processes and real pipes."""

import json
import os
import select
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from serving.process import supervision
from serving.process.heartbeat import DESCRIPTOR_VARIABLE, HEARTBEAT_SECONDS
from serving.process.supervision import MAX_FAILED_STARTS, Supervisor

MAX_SILENT_SECONDS = 10.0


@dataclass
class Loop:
    """An event loop whose time passes only when a test lets it pass."""

    READ = 1
    now: float = 0.0
    timers: list[tuple[float, Callable[[], object]]] = field(default_factory=list)
    readers: dict[int, Callable[..., object]] = field(default_factory=dict)

    def call_later(self, seconds: float, call: Callable[..., object], *arguments: object) -> None:
        self.timers.append((self.now + seconds, lambda: call(*arguments)))

    def add_handler(self, descriptor: int, call: Callable[..., object], _events: int) -> None:
        self.readers[descriptor] = call

    def remove_handler(self, descriptor: int) -> None:
        del self.readers[descriptor]

    def read(self) -> None:
        """Call the handlers of descriptors that can be read."""
        for descriptor in select.select(list(self.readers), [], [], 0)[0]:
            self.readers[descriptor](descriptor, self.READ)

    def pass_time(self, seconds: float) -> None:
        """Run the timers that are due, one after another; this reads no descriptors."""
        end = self.now + seconds
        while self.timers and min(self.timers, key=lambda timer: timer[0])[0] <= end:
            timer = min(self.timers, key=lambda timer: timer[0])
            self.timers.remove(timer)
            self.now = timer[0]
            timer[1]()
        self.now = end


@dataclass
class Worker:
    """A process that does nothing, and the test's copy of its pipe."""

    process: subprocess.Popen[bytes]
    pipe: int

    def beat(self) -> None:
        os.write(self.pipe, b".")

    def die(self) -> None:
        self.process.kill()
        os.close(self.pipe)

    @property
    def is_killed(self) -> bool:
        try:
            return self.process.wait(0.02) == -signal.SIGKILL
        except subprocess.TimeoutExpired:
            return False


class Parent:
    """The parts of circus that a supervisor uses: a watcher, an arbiter and calls of its hooks."""

    def __init__(self, supervisor: Supervisor) -> None:
        self.hooks = {name: hook for name, (hook, _) in supervisor.hooks().items()}
        self.loop = Loop()
        self.workers: list[Worker] = []
        self.is_stopping = False
        self.watcher = SimpleNamespace(
            env={}, args=[], processes={}, reap_process=self._reap, is_stopping=lambda: self.is_stopping
        )
        self.arbiter = SimpleNamespace(
            loop=self.loop,
            sockets={},
            manage_watchers=self.start,
            _restarting=False,
            _exclusive_running_command=None,
        )

    def start(self) -> None:
        self.hooks["before_spawn"](watcher=self.watcher, arbiter=self.arbiter)
        pipe = os.dup(int(self.watcher.env[DESCRIPTOR_VARIABLE]))
        process = subprocess.Popen(["sleep", "60"])
        self.workers.append(Worker(process, pipe))
        self.watcher.processes[process.pid] = process
        self.hooks["after_spawn"](watcher=self.watcher, arbiter=self.arbiter, pid=process.pid)

    def _reap(self, pid: int) -> None:
        process = self.watcher.processes.pop(pid)
        self.hooks["after_reap"](
            watcher=self.watcher, arbiter=self.arbiter, process_pid=pid, exit_code=process.wait()
        )


@pytest.fixture
def parent() -> Iterator[Parent]:
    parent = Parent(Supervisor(MAX_SILENT_SECONDS))
    parent.start()
    yield parent
    for worker in parent.workers:
        if worker.process.poll() is None:
            worker.die()
            worker.process.wait()
    for descriptor in parent.loop.readers:
        os.close(descriptor)


def test_a_worker_that_stops_sending_heartbeats_is_killed(parent: Parent) -> None:
    (worker,) = parent.workers
    worker.beat()
    parent.loop.read()
    parent.loop.pass_time(MAX_SILENT_SECONDS)
    assert not worker.is_killed
    parent.loop.pass_time(HEARTBEAT_SECONDS)
    assert worker.process.wait(10) == -signal.SIGKILL


def test_a_worker_that_sends_heartbeats_is_not_killed(parent: Parent) -> None:
    (worker,) = parent.workers
    for _ in range(10):
        worker.beat()
        parent.loop.pass_time(MAX_SILENT_SECONDS / 2)
    assert not worker.is_killed


def test_a_worker_may_be_silent_while_it_starts(parent: Parent) -> None:
    (worker,) = parent.workers
    parent.loop.pass_time(10 * MAX_SILENT_SECONDS)
    assert not worker.is_killed


def test_heartbeats_sent_while_the_parent_was_stopped_count(parent: Parent) -> None:
    (worker,) = parent.workers
    worker.beat()
    parent.loop.read()
    parent.loop.pass_time(MAX_SILENT_SECONDS)
    worker.beat()  # the last timer runs before anything is read
    parent.loop.pass_time(2 * HEARTBEAT_SECONDS)
    assert not worker.is_killed


def test_a_worker_that_died_is_replaced(parent: Parent) -> None:
    parent.workers[0].die()
    parent.loop.read()
    assert len(parent.workers) == 2
    assert list(parent.watcher.processes) == [parent.workers[1].process.pid]


def test_a_worker_that_dies_while_circus_is_busy_stays_listed_until_another_can_start(
    parent: Parent,
) -> None:
    # circus, which is still starting the worker, would stop a service that has none.
    parent.arbiter._exclusive_running_command = "manage_watchers"
    dead = parent.workers[0]
    dead.die()
    parent.loop.read()
    assert list(parent.watcher.processes) == [dead.process.pid]
    parent.arbiter._exclusive_running_command = None
    parent.loop.pass_time(HEARTBEAT_SECONDS)
    assert list(parent.watcher.processes) == [parent.workers[1].process.pid]


def test_a_worker_that_closed_its_pipe_is_killed_and_replaced(parent: Parent) -> None:
    os.close(parent.workers[0].pipe)
    parent.workers[0].pipe = os.open(os.devnull, os.O_WRONLY)
    parent.loop.read()
    assert parent.workers[0].process.wait(10) == -signal.SIGKILL
    assert len(parent.workers) == 2


def test_a_worker_that_stops_with_the_service_is_not_replaced(parent: Parent) -> None:
    parent.is_stopping = True
    parent.workers[0].die()
    parent.loop.read()
    parent.workers[0].process.wait()
    assert len(parent.workers) == 1


def die_repeatedly(parent: Parent, times: int, signs: int) -> None:
    for _ in range(times):
        for _ in range(signs):
            parent.workers[-1].beat()
            parent.loop.read()
        parent.workers[-1].die()
        parent.loop.read()


@pytest.mark.parametrize("signs", [0, 1])
def test_the_parent_stops_when_too_many_workers_in_a_row_die_before_they_serve(
    parent: Parent, signs: int
) -> None:
    die_repeatedly(parent, MAX_FAILED_STARTS - 1, signs)
    with pytest.raises(SystemExit, match=f"^error: the worker died {MAX_FAILED_STARTS} times in a row "):
        die_repeatedly(parent, 1, signs)


def test_deaths_of_workers_that_served_do_not_count_as_failed_starts(parent: Parent) -> None:
    die_repeatedly(parent, MAX_FAILED_STARTS - 1, 0)
    die_repeatedly(parent, MAX_FAILED_STARTS + 1, 2)
    assert len(parent.workers) == 2 * MAX_FAILED_STARTS + 1


def test_a_worker_of_another_service_is_left_to_bentoml(monkeypatch: pytest.MonkeyPatch) -> None:
    from bentoml import serving

    from serving.process.supervision import supervise

    monkeypatch.setattr(serving, "create_watcher", lambda _name, args, **options: create(args, options))

    def create(args: list[str], options: dict[str, Any]) -> SimpleNamespace:
        return SimpleNamespace(args=args, respawn=False, options=options)

    supervise("ours", MAX_SILENT_SECONDS)
    other = serving.create_watcher("service", ["--service-name", "theirs"], numprocesses=1)
    assert (other.respawn, other.options) == (False, {"numprocesses": 1})
    own = serving.create_watcher("service", ["--service-name", "ours"], numprocesses=1)
    assert own.respawn
    assert set(own.options) == {"numprocesses", "hooks"}


@dataclass
class Controller:
    """Circus's controller, as far as the end of the service needs it."""

    loop: Loop
    arbiter: SimpleNamespace
    commands: list[str] = field(default_factory=list)

    def dispatch(self, job: tuple[None, str]) -> None:
        self.commands.append(json.loads(job[1])["command"])


def test_the_end_waits_until_circus_is_not_busy() -> None:
    arbiter = SimpleNamespace(_restarting=False, _exclusive_running_command="arbiter_start_watchers")
    controller = Controller(Loop(), arbiter)
    supervision._quit(controller)  # type: ignore[arg-type]
    controller.loop.pass_time(1)
    assert controller.commands == []
    arbiter._exclusive_running_command = None
    controller.loop.pass_time(1)
    assert controller.commands == ["quit"]
