"""`make serve`: the bundled model into the store if need be, one screen of words, then `bentoml serve`."""

import errno
import importlib
import os
import socket

from classifier.errors import ClassifierError, SettingsError
from classifier.schema import EXAMPLE_TEXT
from classifier.settings import Settings, load_settings
from serving.address import family_of, listening_address, url_of

DRAIN_SECONDS = 30


def _prepare(settings: Settings) -> str:
    """See that the model is in the store and the port is free; returns the address to listen on.

    Raises ClassifierError.
    """
    import model_store

    if tag := model_store.put_bundled_model(settings.model):
        print(f"Put {tag} into the BentoML model store")  # noqa: T201
    model_store.folder_of(settings.model.tag)
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
    return address


def main() -> None:
    """Become the server; on a setting or model that cannot be used, exit with 1 and one sentence."""
    os.environ.setdefault("BENTOML_DO_NOT_TRACK", "True")
    try:
        settings = load_settings()
        address = _prepare(settings)
    except ClassifierError as error:
        raise SystemExit(f"error: {error}") from None
    # What BentoML imports next: it checks the model, and exits before the first words where that is damaged.
    importlib.import_module("service")
    url = url_of(address, settings.api.port)
    print(  # noqa: T201
        f"""
  Serving {settings.model.tag}, in a moment, at

      {url}          what runs here
      {url}/docs     the API as a page

  Try it:

      curl -s {url}/predict -H 'content-type: application/json' \\
        -d '{{"text": "{EXAMPLE_TEXT}"}}'

  Ctrl+C stops it.
""",
        flush=True,
    )
    # In this process: another interpreter would begin with the imports that are done here.
    from bentoml_cli.cli import cli

    cli(["serve", "service:TextClassifier", "--timeout-graceful-shutdown", str(DRAIN_SECONDS)], "bentoml")


if __name__ == "__main__":
    main()
