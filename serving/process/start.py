"""`text-classifier serve`: prepares the model store, prints where to go, and runs `bentoml serve`."""

import errno
import importlib
import os
import signal
import socket
from pathlib import Path

from classifier.errors import ClassifierError, SettingsError
from classifier.schema import EXAMPLE_TEXT
from classifier.settings import Settings, load_settings
from serving.process.address import family_of, listening_address, url_of

ROOT = Path(__file__).parents[2]


def _prepare(settings: Settings) -> tuple[str, str]:
    """Check that the model is in the store and that the port is free.

    Returns the tag of the model, with its version, and the address to listen on. Raises ClassifierError.
    """
    import model_store

    if tag := model_store.put_bundled_model(settings.model):
        _tell(settings, f"Put {tag} into the BentoML model store")
    model = model_store.folder_of(settings.model.tag)
    address = listening_address(settings.api.host)
    with socket.socket(family_of(address)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((address, settings.api.port))
        except OSError as error:
            is_taken = error.errno == errno.EADDRINUSE
            elsewhere = f"; `make serve PORT={settings.api.port + 1}` listens elsewhere" if is_taken else ""
            raise SettingsError(
                f"{settings.api.host}:{settings.api.port} (api.host, api.port) cannot be listened on: "
                f"{error.strerror}{elsewhere}"
            ) from error
    return f"{settings.model.name}:{model.name}", address


def _tell(settings: Settings, text: str) -> None:
    """Print a text for people; programs that read the log as JSON do not get it."""
    if settings.logging.format == "console":
        print(text, flush=True)  # noqa: T201


def serve() -> None:
    """Run the server in this process. Exit with 1 and one sentence if a setting or the model is unusable."""
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # Until there is a worker that it can be passed on to.
    os.environ.setdefault("BENTOML_DO_NOT_TRACK", "True")
    try:
        settings = load_settings()
    except ClassifierError as error:
        raise SystemExit(f"error: {error}") from None
    try:
        tag, address = _prepare(settings)
    except ClassifierError as error:
        from serving.telemetry.logs import configure_logging, exit_with_error  # They need BentoML.

        configure_logging(settings.logging)
        exit_with_error(error, settings.logging)
    # BentoML would import the service next. This import exits before the greeting if the model is damaged.
    importlib.import_module("service")
    url = url_of(address, settings.api.port)
    _tell(
        settings,
        f"""
  Serving {tag}, in a moment, at

      {url}          the service and its routes
      {url}/docs     the API as a page

  Try it:

      curl -s {url}/predict -H 'content-type: application/json' \\
        -d '{{"text": "{EXAMPLE_TEXT}"}}'

  Ctrl+C stops it.
""",
    )
    # BentoML runs in this process, because a new interpreter would have to repeat the imports.
    from bentoml_cli.cli import cli

    cli(["serve", "service:TextClassifier", "--working-dir", str(ROOT)], "bentoml")
