"""The worker's signs of life, which the parent process waits for."""

import asyncio
import os
import signal
import socket

DESCRIPTOR = "_CLASSIFIER_HEARTBEAT_FD"
"""The environment variable that tells a worker its end of the pair of sockets."""

SECONDS = 0.5
"""Between two signs of life."""


def start_heartbeat() -> None:
    """Send the parent a byte every half second, and end as on SIGTERM once the parent has died.

    To be called in the event loop: where the loop hangs, the bytes stop. The first byte comes after half a
    second, when the server listens. A process that no supervisor started sends nothing.
    """
    descriptor = os.environ.pop(DESCRIPTOR, None)
    if descriptor is None:
        return
    parent = socket.socket(fileno=int(descriptor))
    parent.setblocking(False)
    parent.set_inheritable(False)
    loop = asyncio.get_running_loop()

    def beat() -> None:
        try:
            parent.send(b".")
        except BlockingIOError:
            pass  # The parent is stopped, and reads again when it continues.
        except OSError:
            signal.raise_signal(signal.SIGTERM)
            return
        loop.call_later(SECONDS, beat)

    loop.call_later(SECONDS, beat)
