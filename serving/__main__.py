"""`make serve`: the bundled model into the store if need be, one screen of words, then `bentoml serve`."""

import os
import sys
from pathlib import Path

import model_store
from classifier.artifact import MANIFEST, Manifest
from classifier.errors import ClassifierError
from classifier.schema import EXAMPLE_TEXT
from classifier.settings import load_settings
from serving.model import model_tag, stop

BUNDLED = Path(__file__).parent.parent / "models" / "imdb-sentiment"
DRAIN_SECONDS = 30


def main() -> None:
    """Become the server; on a setting or model that cannot be used, exit with 1 and one sentence."""
    try:
        settings = load_settings()
        bundled = Manifest.model_validate_json((BUNDLED / MANIFEST).read_bytes()).name
        if settings.model.name == bundled and not model_store.holds(bundled):
            print(f"Putting {model_store.save(BUNDLED)} into the BentoML model store")  # noqa: T201
    except ClassifierError as error:
        stop(error)
    url = f"http://{settings.api.host}:{settings.api.port}"
    print(  # noqa: T201
        f"""
  Serving {model_tag(settings)}, in a moment, at

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
