"""`make serve`: the bundled model into the store if need be, one screen of words, then `bentoml serve`."""

import os
import sys
from pathlib import Path

from classifier.errors import ClassifierError
from classifier.schema import EXAMPLE_TEXT
from classifier.settings import load_settings

BUNDLED = Path(__file__).parent.parent / "models" / "imdb-sentiment"
DRAIN_SECONDS = 30


def _is_stored(name: str) -> bool:
    """Whether the store has any version of a model. Asking BentoML would take half a second of each start."""
    home = os.environ.get("BENTOML_HOME") or Path.home() / "bentoml"
    return (Path(home) / "models" / name / "latest").exists()


def main() -> None:
    """Become the server; on a setting or model that cannot be used, exit with 1 and one sentence."""
    try:
        settings = load_settings()
        if settings.model.name == BUNDLED.name and not _is_stored(BUNDLED.name):
            import model_store

            print(f"Putting {model_store.save(BUNDLED)} into the BentoML model store")  # noqa: T201
    except ClassifierError as error:
        raise SystemExit(f"error: {error}") from None
    url = f"http://{settings.api.host}:{settings.api.port}"
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
    os.environ.setdefault("BENTOML_DO_NOT_TRACK", "True")
    bentoml = str(Path(sys.executable).parent / "bentoml")
    os.execv(  # noqa: S606
        bentoml,
        [bentoml, "serve", "service:TextClassifier", "--timeout-graceful-shutdown", str(DRAIN_SECONDS)],
    )


if __name__ == "__main__":
    main()
