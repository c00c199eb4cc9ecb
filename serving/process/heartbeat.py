"""A worker's heartbeat, which its parent process watches."""

import asyncio
import os
import signal

DESCRIPTOR = "_CLASSIFIER_HEARTBEAT_FD"
"""The environment variable with the number of the file descriptor that a worker writes to."""

SECONDS = 0.5
"""Seconds between two heartbeats."""


def start_heartbeat() -> None:
    """Write a byte to the parent now and every half second; stop as on SIGTERM once the parent has died.

    Call it in the event loop when the service is ready and before the server listens. If the loop hangs, the
    bytes stop. A process without a supervisor writes nothing.
    """
    inherited = os.environ.pop(DESCRIPTOR, None)
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
        loop.call_later(SECONDS, beat)

    beat()
