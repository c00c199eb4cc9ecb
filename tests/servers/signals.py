"""What a server's process does on signals."""

import signal


def default_signals() -> None:
    """Undo in a new process what nohup and a shell's background jobs do: they ignore these signals."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
