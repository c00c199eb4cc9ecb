"""What can be copied: a request for curl, Python or BentoML's client, and lines that set a threshold."""

import json
import shlex
from pprint import pformat
from typing import Any

from serving.routes import PREDICT
from ui.settings import Settings

KEY_VARIABLE = "CLASSIFIER_API_KEY"


def curl(settings: Settings, body: dict[str, Any]) -> str:
    """The request for a shell. A key is not in it, but the variable that has it."""
    key = f' \\\n  -H "authorization: Bearer ${KEY_VARIABLE}"' if settings.api_key else ""
    address = shlex.quote(settings.public_address + PREDICT.path)
    return (
        f"curl -s {address} -H 'content-type: application/json'{key} \\\n"
        f"  -d {shlex.quote(json.dumps(body, ensure_ascii=False))}"
    )


def python(settings: Settings, body: dict[str, Any]) -> str:
    """The request for Python with httpx."""
    headers = (
        f'\n    headers={{"authorization": "Bearer " + os.environ["{KEY_VARIABLE}"]}},'
        if settings.api_key
        else ""
    )
    return (
        f"{'import os' + chr(10) if settings.api_key else ''}import httpx\n\n"
        f"response = httpx.post(\n    {settings.public_address + PREDICT.path!r},{headers}\n"
        f"    json={pformat(body, width=90, sort_dicts=False)},\n    timeout=30,\n)\n"
        "response.raise_for_status()\nprint(response.json())"
    )


def bentoml(settings: Settings, body: dict[str, Any]) -> str:
    """The request for BentoML's client."""
    token = f', token=os.environ["{KEY_VARIABLE}"]' if settings.api_key else ""
    arguments = ", ".join(f"{name}={value!r}" for name, value in body.items())
    return (
        f"{'import os' + chr(10) if settings.api_key else ''}import bentoml\n\n"
        f"with bentoml.SyncHTTPClient({settings.public_address!r}{token}) as client:\n"
        f"    print(client.predict({arguments}))"
    )


def config_lines(confidence_threshold: float) -> str:
    """The lines of `config.yaml` that set the confidence from which an answer is confident."""
    return f"inference:\n  confidence_threshold: {confidence_threshold:g}"


def decision(label: str, threshold: float) -> str:
    """Python that gives a label from a probability on, whatever the service decides."""
    return f'has_label = response.json()["probabilities"][{label!r}] >= {threshold:g}'
