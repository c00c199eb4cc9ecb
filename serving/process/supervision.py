"""The parent process watches its workers, and immediately replaces one that dies or hangs.

BentoML runs its workers with circus, which looks for dead workers every ten seconds and, in a container, does
not replace them. Here every worker writes to a pipe of its own. When the pipe ends, the worker has died; when
it is silent, the worker's event loop hangs. docs/decisions/0010-worker-supervision.md lists the internals of
BentoML and circus that this relies on.
"""

from __future__ import annotations

import math
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import bentoml
import click
import structlog

from classifier.errors import SettingsError
from serving.process.heartbeat import DESCRIPTOR_VARIABLE, HEARTBEAT_SECONDS
from serving.process.listening import stop_listening

if TYPE_CHECKING:
    from circus.arbiter import Arbiter
    from circus.controller import Controller
    from circus.sighandler import SysHandler
    from circus.watcher import Watcher

MAX_FAILED_STARTS = 10
"""Most workers in a row that may die before they serve. Then the service stops."""

RELOAD_PAUSE_SECONDS = 2.0
"""Seconds between two workers that fail while files are being edited (`bentoml serve --reload`)."""

_RETRY_SECONDS = 0.02
"""Seconds after which circus, if it was busy, is asked again."""

_log = structlog.get_logger("classifier.supervision")


def supervise(service: str, max_silent_seconds: float) -> None:
    """Make `bentoml serve` watch the worker of the service with this name.

    Call it when the service is imported. It takes effect in the parent process and does nothing in a worker.
    Raises SettingsError if more than one worker is asked for.
    """
    if bentoml.server_context.worker_index is not None:
        return
    command = click.get_current_context(silent=True)
    arguments = command.params if command else {}
    _require_one_worker(arguments.get("api_workers") or 1)
    from bentoml import serving  # The import takes 0.1 s, which workers save.
    from circus.sighandler import SysHandler

    SysHandler.quit = _quit_from_signal
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # Until there is a worker that it can be passed on to.
    create_watcher = serving.create_watcher
    ignores_sighup = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN  # `nohup` sets this.

    def create_supervised_watcher(name: str, args: list[str], **options: Any) -> Watcher:
        if service not in args:
            return create_watcher(name, args, **options)
        try:
            _require_one_worker(options.get("numprocesses", 1))
        except SettingsError as error:
            raise SystemExit(f"error: {error}") from None
        reloads = bool(arguments.get("reload"))
        hooks = Supervisor(max_silent_seconds, ignores_sighup, reloads).hooks()
        watcher = create_watcher(name, args, hooks=hooks, **options)
        watcher.respawn = True  # BentoML forbids it in a container.
        return watcher

    serving.create_watcher = create_supervised_watcher


def _require_one_worker(workers: int) -> None:
    """Raise SettingsError for more workers than one: each would have its own queue and its own /metrics."""
    if workers > 1:
        raise SettingsError(
            f"{workers} workers are asked for; this service runs one worker, which runs the texts of all "
            "clients in batches; to use more processors, run more containers (k8s/README.md)"
        )


@dataclass
class _Worker:
    """A worker process as its parent sees it."""

    pid: int
    pipe: int
    """The file descriptor from which the parent reads."""
    heartbeats: int = 0
    """How many have arrived. The first means that the model is loaded, the second that the worker listens."""
    silent_seconds: float = 0.0
    """Seconds since the last heartbeat, counted only while the parent runs."""


class Supervisor:
    """Replaces the workers of one circus watcher when they die or hang."""

    def __init__(
        self, max_silent_seconds: float, ignores_sighup: bool = False, reloads: bool = False
    ) -> None:
        """`reloads`: whether files are being edited, so that a worker may fail until the next change."""
        self._max_silent_seconds = max_silent_seconds
        self._ignores_sighup = ignores_sighup
        self._max_failed_starts = math.inf if reloads else MAX_FAILED_STARTS
        self._failed_start_pause = RELOAD_PAUSE_SECONDS if reloads else 0.0
        self._workers: dict[int, _Worker] = {}
        self._failed_starts = 0
        self._is_verbose = False  # Whether SIGUSR1 has switched the level of the log to DEBUG.
        self._pipe: tuple[int, int]

    def hooks(self) -> dict[str, tuple[Callable[..., bool], bool]]:
        """The hooks that circus calls, each with whether its failure is ignored."""
        return {
            "before_start": (self._take_signals, False),
            "before_spawn": (self._prepare, False),
            "after_spawn": (self._watch, False),
            "after_reap": (self._report, False),
        }

    def _take_signals(self, arbiter: Arbiter, **_: Any) -> bool:
        """Make SIGHUP end the service as SIGTERM does, and pass a second signal on to the workers.

        SIGUSR1, which changes the level of the log, is passed on to workers that are ready for it.
        """
        handler = arbiter.ctrl.sys_hdl
        end = handler.quit

        def end_or_hasten() -> None:
            if arbiter._stopping:
                for pid in self._workers:
                    _send(pid, signal.SIGTERM)
            else:
                end()

        def change_level(*_: object) -> None:
            self._is_verbose = not self._is_verbose
            for worker in self._workers.values():
                if worker.heartbeats:
                    _send(worker.pid, signal.SIGUSR1)

        signal.signal(signal.SIGUSR1, change_level)
        handler.quit = end_or_hasten
        handler.handle_hup = (lambda: None) if self._ignores_sighup else end_or_hasten
        return True

    def _prepare(self, watcher: Watcher, **_: Any) -> bool:
        """Make the next worker's pipe; exit if too many workers in a row could not start."""
        if self._failed_starts >= self._max_failed_starts:
            raise SystemExit(
                f"error: the worker died {self._failed_starts} times in a row before it could serve; "
                "the reason is above, and the service ends"
            )
        ours, theirs = self._pipe = os.pipe()
        os.set_blocking(ours, False)
        os.set_inheritable(theirs, True)
        watcher.env[DESCRIPTOR_VARIABLE] = str(theirs)
        return True

    def _watch(self, watcher: Watcher, arbiter: Arbiter, pid: int, **_: Any) -> bool:
        ours, theirs = self._pipe
        os.close(theirs)
        worker = self._workers[pid] = _Worker(pid, ours)
        loop = arbiter.loop
        loop.add_handler(ours, lambda *_: self._read(watcher, arbiter, worker), loop.READ)
        loop.call_later(HEARTBEAT_SECONDS, self._check, watcher, arbiter, worker)
        return True

    def _read(self, watcher: Watcher, arbiter: Arbiter, worker: _Worker) -> None:
        """Read the heartbeats; the end of the pipe means that the worker has died."""
        try:
            heartbeats = os.read(worker.pipe, 4096)
        except BlockingIOError:
            return
        if heartbeats:
            if self._is_verbose and not worker.heartbeats:
                _send(worker.pid, signal.SIGUSR1)
            worker.heartbeats += len(heartbeats)
            worker.silent_seconds = 0.0
            if worker.heartbeats > 1:
                self._failed_starts = 0
        else:
            self._replace(watcher, arbiter, worker)

    def _check(self, watcher: Watcher, arbiter: Arbiter, worker: _Worker) -> None:
        """Kill a worker that has been silent for too long, unless it is still starting."""
        if worker.pid not in self._workers:
            return
        worker.silent_seconds += HEARTBEAT_SECONDS
        self._read(watcher, arbiter, worker)  # If the parent itself was stopped, heartbeats wait in the pipe.
        if worker.heartbeats and worker.silent_seconds > self._max_silent_seconds:
            _log.error("worker_hangs", pid=worker.pid, silent_seconds=worker.silent_seconds)
            _send(worker.pid, signal.SIGKILL)
        else:
            arbiter.loop.call_later(HEARTBEAT_SECONDS, self._check, watcher, arbiter, worker)

    def _replace(self, watcher: Watcher, arbiter: Arbiter, worker: _Worker) -> None:
        del self._workers[worker.pid]
        arbiter.loop.remove_handler(worker.pipe)
        os.close(worker.pipe)
        if watcher.is_stopping() or worker.pid not in watcher.processes:
            return
        self._failed_starts += worker.heartbeats <= 1
        if not self._workers:
            _refuse_clients(watcher, arbiter)
        _send(worker.pid, signal.SIGKILL)  # A process that closed only its pipe cannot be watched.
        if self._failed_starts and self._failed_start_pause:
            arbiter.loop.call_later(self._failed_start_pause, _start_another, watcher, arbiter, worker.pid)
        else:
            _start_another(watcher, arbiter, worker.pid)

    def _report(self, watcher: Watcher, process_pid: int, exit_code: int, **_: Any) -> bool:
        if not watcher.is_stopping():
            cause = {"signal": _signal_name(-exit_code)} if exit_code < 0 else {"exit_code": exit_code}
            _log.error("worker_died", pid=process_pid, **cause, failed_starts=self._failed_starts)
        return True


def _signal_name(number: int) -> str:
    """The name of a signal, such as "SIGKILL", which is what the kernel sends when memory runs out."""
    known = {one.value: one.name for one in signal.Signals}
    return known.get(number, str(number))


def _send(pid: int, number: signal.Signals) -> None:
    """Send a signal to a worker that may have ended already."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def _refuse_clients(watcher: Watcher, arbiter: Arbiter) -> None:
    """Refuse connections until the next worker listens, because nobody would accept them."""
    for name, listener in arbiter.sockets.items():
        if f"$(circus.sockets.{name})" in watcher.args:
            stop_listening(listener)


def _quit_from_signal(handler: SysHandler) -> None:
    """End the service after SIGINT or SIGTERM. Circus runs this in its signal handler."""
    handler.controller.loop.add_callback_from_signal(_quit, handler.controller)


def _quit(controller: Controller) -> None:
    """End the service as soon as circus is not busy, because a busy circus refuses the command for good.

    Circus is busy while it starts the first worker.
    """
    if _is_busy(controller.arbiter):
        controller.loop.call_later(_RETRY_SECONDS, _quit, controller)
    else:
        controller.dispatch((None, '{"command": "quit"}'))


def _is_busy(arbiter: Arbiter) -> bool:
    return arbiter._restarting or arbiter._exclusive_running_command is not None


def _start_another(watcher: Watcher, arbiter: Arbiter, pid: int) -> None:
    """Have circus replace a dead worker as soon as circus is not busy with something else.

    The dead worker is reaped only then: if circus finds a watcher without workers, it ends the service.
    """
    if _is_busy(arbiter):
        arbiter.loop.call_later(_RETRY_SECONDS, _start_another, watcher, arbiter, pid)
        return
    if watcher.is_stopping() or pid not in watcher.processes:  # A changed file has restarted the watcher.
        return
    watcher.reap_process(pid)
    arbiter.manage_watchers()
