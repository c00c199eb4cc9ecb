"""The commands without options. They need nothing but the packages of the serving layer."""

import os
import signal

PROGRAM = "text-classifier"

INTERRUPTED = 130
"""Exit code after Ctrl+C, as shells report it."""


def serve() -> None:
    """Serve the model that the settings name, until Ctrl+C.

    `config.yaml` has every setting, and environment variables override it. The bundled model is put into the
    BentoML model store if it is not there.
    """
    _exit_on_interrupt()
    from serving.process.start import serve

    serve()


def _exit_on_interrupt() -> None:
    """Make Ctrl+C end the process at once until the server has started, which sets its own handler.

    Otherwise Python would raise KeyboardInterrupt somewhere in the imports. That prints a stack trace, and in
    a callback it is ignored. Nothing needs to be cleaned up, because an import into the store may be killed
    at any time.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not if Ctrl+C is ignored, as by nohup
        signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))


def key() -> None:
    """Print a new API key, and the line with its hash for the file of keys (`api.keys_file`)."""
    from serving.request.access import new_key

    key, line = new_key()
    print(f"key:  {key}\nline: {line}")  # noqa: T201
