"""The worker's signs of life, which the parent process waits for."""

import asyncio
import os
import signal

DESCRIPTOR = "_CLASSIFIER_HEARTBEAT_FD"
"""The environment variable that tells a worker which file descriptor leads to its parent."""

SECONDS = 0.5
"""Between two signs of life."""


def start_heartbeat() -> None:
    """Write the parent a byte now and every half second; end as on SIGTERM once the parent has died.

    To be called in the event loop once the service can answer, and before the server listens. Where the loop
    hangs, the bytes stop. A process that no supervisor started writes nothing.
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
