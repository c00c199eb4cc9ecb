"""The parent process's watch over its workers: one that dies or hangs is replaced at once.

BentoML runs workers with circus, which looks for dead ones every ten seconds and, in a container, starts no
others. Here every worker writes to a pipe of its own. The pipe's end says that the worker has died, and its
silence that the worker's event loop hangs. docs/decisions/0010-worker-supervision.md says what of
BentoML and circus this relies on.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import bentoml
import structlog

from serving.heartbeat import DESCRIPTOR, SECONDS
from serving.listening import stop_listening

if TYPE_CHECKING:
    from circus.arbiter import Arbiter
    from circus.watcher import Watcher

MAX_FAILED_STARTS = 10
"""So many workers in a row may die before they serve; then the parent gives up."""

_RETRY_SECONDS = 0.02
"""Until circus, which was busy, is asked again to start a worker."""

_log = structlog.get_logger("classifier.supervision")


def supervise(service: str, max_silent_seconds: float) -> None:
    """Make `bentoml serve` watch the workers of the service with this name.

    To be called when the parent process imports the service. In a worker it changes nothing.
    """
    if bentoml.server_context.worker_index is not None:
        return
    from bentoml import serving  # It takes 0.1 s, which a worker need not spend.

    create_watcher = serving.create_watcher
    ignores_hang_up = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN  # as nohup wants it

    def create_supervised_watcher(name: str, args: list[str], **options: Any) -> Watcher:
        if service not in args:
            return create_watcher(name, args, **options)
        hooks = Supervisor(max_silent_seconds, ignores_hang_up).hooks()
        watcher = create_watcher(name, args, hooks=hooks, **options)
        watcher.respawn = True  # BentoML forbids it in a container.
        return watcher

    serving.create_watcher = create_supervised_watcher


@dataclass
class _Worker:
    """A worker process, and what is known of it."""

    pid: int
    pipe: int
    """The end that this process reads."""
    signs: int = 0
    """Signs of life: the first says that it has loaded its model, the second that it listens."""
    silent_seconds: float = 0.0
    """How long it has sent none, counted while this process runs."""


class Supervisor:
    """Replaces workers of one circus watcher that die or hang."""

    def __init__(self, max_silent_seconds: float, ignores_hang_up: bool = False) -> None:
        self._max_silent_seconds = max_silent_seconds
        self._ignores_hang_up = ignores_hang_up
        self._workers: dict[int, _Worker] = {}
        self._failed_starts = 0
        self._pipe: tuple[int, int]

    def hooks(self) -> dict[str, tuple[Callable[..., bool], bool]]:
        """What circus calls, each with whether a failure is ignored."""
        return {
            "before_start": (self._take_signals, False),
            "before_spawn": (self._prepare, False),
            "after_spawn": (self._watch, False),
            "after_reap": (self._report, False),
        }

    def _take_signals(self, arbiter: Arbiter, **_: Any) -> bool:
        """SIGHUP ends the service as SIGTERM does, and a second signal is handed on to the workers."""
        handler = arbiter.ctrl.sys_hdl
        end = handler.quit

        def end_or_hasten() -> None:
            if arbiter._stopping:
                for pid in self._workers:
                    _send(pid, signal.SIGTERM)
            else:
                end()

        handler.quit = end_or_hasten
        handler.handle_hup = (lambda: None) if self._ignores_hang_up else end_or_hasten
        return True

    def _prepare(self, watcher: Watcher, **_: Any) -> bool:
        """Make the next worker's pipe; exits where no worker could start."""
        if self._failed_starts >= MAX_FAILED_STARTS:
            raise SystemExit(
                f"error: the worker died {self._failed_starts} times in a row before it could serve; "
                "the reason is above, and the service ends"
            )
        ours, theirs = self._pipe = os.pipe()
        os.set_blocking(ours, False)
        os.set_inheritable(theirs, True)
        watcher.env[DESCRIPTOR] = str(theirs)
        return True

    def _watch(self, watcher: Watcher, arbiter: Arbiter, pid: int, **_: Any) -> bool:
        ours, theirs = self._pipe
        os.close(theirs)
        worker = self._workers[pid] = _Worker(pid, ours)
        loop = arbiter.loop
        loop.add_handler(ours, lambda *_: self._hear(watcher, arbiter, worker), loop.READ)
        loop.call_later(SECONDS, self._check, watcher, arbiter, worker)
        return True

    def _hear(self, watcher: Watcher, arbiter: Arbiter, worker: _Worker) -> None:
        """Read what the worker wrote; the pipe's end is its death."""
        try:
            signs = os.read(worker.pipe, 4096)
        except BlockingIOError:
            return
        if signs:
            worker.signs += len(signs)
            worker.silent_seconds = 0.0
            if worker.signs > 1:
                self._failed_starts = 0
        else:
            self._replace(watcher, arbiter, worker)

    def _check(self, watcher: Watcher, arbiter: Arbiter, worker: _Worker) -> None:
        """Kill a worker that has been silent for too long, but not while it is starting."""
        if worker.pid not in self._workers:
            return
        worker.silent_seconds += SECONDS
        self._hear(watcher, arbiter, worker)  # First: this process may have been the one that was stopped.
        if worker.signs and worker.silent_seconds > self._max_silent_seconds:
            _log.error("worker_hangs", pid=worker.pid, silent_seconds=worker.silent_seconds)
            _send(worker.pid, signal.SIGKILL)
        else:
            arbiter.loop.call_later(SECONDS, self._check, watcher, arbiter, worker)

    def _replace(self, watcher: Watcher, arbiter: Arbiter, worker: _Worker) -> None:
        del self._workers[worker.pid]
        arbiter.loop.remove_handler(worker.pipe)
        os.close(worker.pipe)
        if watcher.is_stopping() or worker.pid not in watcher.processes:
            return
        self._failed_starts += worker.signs <= 1
        if not self._workers:
            _refuse_callers(watcher, arbiter)
        _send(worker.pid, signal.SIGKILL)  # A process that merely closed the pipe could not be watched.
        _start_another(watcher, arbiter, worker.pid)

    def _report(self, watcher: Watcher, process_pid: int, exit_code: int, **_: Any) -> bool:
        if not watcher.is_stopping():
            _log.error("worker_died", pid=process_pid, exit_code=exit_code, failed_starts=self._failed_starts)
        return True


def _send(pid: int, number: signal.Signals) -> None:
    """Send a signal to a worker, which may just have ended."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def _refuse_callers(watcher: Watcher, arbiter: Arbiter) -> None:
    """Refuse connections until the next worker listens: nobody would accept them."""
    for name, listener in arbiter.sockets.items():
        if f"$(circus.sockets.{name})" in watcher.args:
            stop_listening(listener)


def _start_another(watcher: Watcher, arbiter: Arbiter, pid: int) -> None:
    """Have circus start a worker in the dead one's place, as soon as it is not busy with something else.

    The dead one is reaped only then: a watcher that circus finds without any worker ends the service.
    """
    if arbiter._restarting or arbiter._exclusive_running_command is not None:
        arbiter.loop.call_later(_RETRY_SECONDS, _start_another, watcher, arbiter, pid)
        return
    watcher.reap_process(pid)
    arbiter.manage_watchers()
