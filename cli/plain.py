"""The commands without options. They need nothing but the packages of the serving layer."""


def serve() -> None:
    """Serve the model that the settings name, until Ctrl+C.

    `config.yaml` has every setting, and environment variables override it. The bundled model is put into the
    BentoML model store if it is not there.
    """
    from serving.start import serve

    serve()


def key() -> None:
    """Print a new API key, and the line with its hash for the file of keys (`api.keys_file`)."""
    from serving.access import new_key

    key, line = new_key()
    print(f"key:  {key}\nline: {line}")  # noqa: T201
