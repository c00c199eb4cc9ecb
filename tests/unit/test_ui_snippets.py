"""What can be copied from the pages means the request or the setting that the page shows."""

import ast
import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import AnyHttpUrl, SecretStr

from classifier.settings import load_settings
from ui.settings import Settings
from ui.snippets import bentoml, config_lines, curl, decision, python

TEXTS = ["good", 'it\'s "good" & $HOME `id` \\n', "two\nlines", "¿Qué? 😀 " * 30]

OPEN = Settings(url=AnyHttpUrl("http://service:3000/base/"))
LOCKED = Settings(url=AnyHttpUrl("http://service:3000"), api_key=SecretStr("sesame"))


def body(text: str) -> dict[str, Any]:
    return {"text": text, "threshold": 0.9}


def arguments(code: str, function: str) -> dict[str, Any]:
    """The literal keyword arguments of the call of a function in Python code."""
    (call,) = (
        node
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == function
    )
    return {
        keyword.arg: ast.literal_eval(keyword.value)
        for keyword in call.keywords
        if keyword.arg and keyword.arg != "headers"
    }


@pytest.mark.parametrize("text", TEXTS)
def test_the_request_for_a_shell_sends_the_body(text: str) -> None:
    words = shlex.split(curl(OPEN, body(text)).replace("\\\n", " "))
    assert json.loads(words[words.index("-d") + 1]) == body(text)


def test_the_request_for_a_shell_goes_to_the_path_of_the_service() -> None:
    assert "http://service:3000/base/predict" in shlex.split(curl(OPEN, body("good")))


@pytest.mark.parametrize("write", [curl, python, bentoml])
def test_the_code_names_the_public_address_if_there_is_one(write: Callable[..., str]) -> None:
    settings = Settings(ui_public_url=AnyHttpUrl("https://classifier.example.com"))
    assert "https://classifier.example.com" in write(settings, body("good"))


@pytest.mark.parametrize("text", TEXTS)
def test_the_request_for_python_sends_the_body(text: str) -> None:
    assert arguments(python(OPEN, body(text)), "httpx.post")["json"] == body(text)


@pytest.mark.parametrize("text", TEXTS)
def test_the_request_for_bentoml_sends_the_body(text: str) -> None:
    assert arguments(bentoml(OPEN, body(text)), "client.predict") == body(text)


@pytest.mark.parametrize("write", [curl, python, bentoml])
def test_a_key_is_named_and_not_shown(write: Any) -> None:
    code = write(LOCKED, body("good"))
    assert ("CLASSIFIER_API_KEY" in code, "sesame" in code) == (True, False)


@pytest.mark.parametrize("write", [curl, python, bentoml])
def test_a_service_without_a_key_gets_none(write: Any) -> None:
    assert "KEY" not in write(OPEN, body("good"))


@pytest.mark.parametrize("write", [python, bentoml])
def test_python_that_reads_the_key_imports_what_it_needs(write: Any) -> None:
    assert "import os" in write(LOCKED, body("good")).splitlines()


@pytest.mark.parametrize("threshold", [0.0, 0.001, 0.626, 1.0])
def test_the_lines_of_config_yaml_set_the_confidence_threshold(threshold: float, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(config_lines(threshold), encoding="utf-8")
    assert load_settings(path).inference.confidence_threshold == threshold


@pytest.mark.parametrize(("threshold", "expected"), [(0.7, True), (0.701, False)])
def test_the_decision_of_a_client_compares_the_probability_of_the_label(
    threshold: float, expected: bool
) -> None:
    class Response:
        def json(self) -> dict[str, Any]:
            return {"probabilities": {"it's": 0.7}}

    names: dict[str, Any] = {"response": Response()}
    exec(decision("it's", threshold), names)  # noqa: S102 - it is ours
    assert names["has_label"] is expected
