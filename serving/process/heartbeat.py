"""A worker's heartbeat, which its parent process watches."""

import asyncio
import os
import signal

DESCRIPTOR_VARIABLE = "_CLASSIFIER_HEARTBEAT_FD"
"""The environment variable with the number of the file descriptor that a worker writes to."""

HEARTBEAT_SECONDS = 0.5
"""Seconds between two heartbeats."""


def start_heartbeat() -> None:
    """Write a byte to the parent now and every half second. If the parent has died, stop as on SIGTERM.

    Call this in the event loop when the service is ready and before the server listens. If the loop hangs, it
    writes nothing. A process that no parent supervises never writes.
    """
    inherited = os.environ.pop(DESCRIPTOR_VARIABLE, None)
    if inherited is None:
        return
    pipe = int(inherited)
    os.set_blocking(pipe, False)
    os.set_inheritable(pipe, False)
    loop = asyncio.get_running_loop()

    def beat() -> None:
        try:
            os.write(pipe, b".")
        except BlockingIOError:
            pass  # The parent is stopped, and reads again when it continues.
        except BrokenPipeError:
            signal.raise_signal(signal.SIGTERM)
            return
        loop.call_later(HEARTBEAT_SECONDS, beat)

    beat()
