"""A transformer from the folder of Hugging Face to answers over HTTP."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

NAME = "news"


@pytest.fixture(scope="module")
def folder(project: Path) -> Path:
    return project / "tests" / "data" / "transformers" / "bert"


@pytest.fixture(scope="module")
def expected(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "expected.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def url(serve: Any, project: Path, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home = tmp_path_factory.mktemp("home")
    subprocess.run(
        [
            *(sys.executable, "-m", "cli", "import", folder, "--name", NAME, "--max-tokens", "64"),
            *("--expected", folder / "expected.jsonl"),
        ],
        cwd=project,
        env=os.environ | {"BENTOML_HOME": str(home)},
        check=True,
        capture_output=True,
    )
    with serve(home, CLASSIFIER__MODEL__NAME=NAME) as server:
        yield server.url


def test_answers_are_those_of_transformers(url: str, expected: list[dict[str, Any]]) -> None:
    for row in expected:
        if row["text"].strip():
            answer = httpx.post(f"{url}/predict", json={"text": row["text"]}).json()
            assert list(answer["probabilities"].values()) == pytest.approx(row["probabilities"], abs=1e-4)


def test_texts_of_one_request_are_answered_in_order(url: str, expected: list[dict[str, Any]]) -> None:
    given = [row for row in expected if row["text"].strip()]
    answer = httpx.post(f"{url}/predict/batch", json={"texts": [row["text"] for row in given]}).json()
    assert answer["total_processed"] == len(given)
    for row, found in zip(given, answer["predictions"], strict=True):
        assert list(found["probabilities"].values()) == pytest.approx(row["probabilities"], abs=1e-4)


def test_a_text_that_is_cut_says_so(url: str) -> None:
    answer = httpx.post(f"{url}/predict", json={"text": "film " * 200}).json()
    assert answer["warnings"] == ["cut: only the first 62 tokens of the text were read"]
    assert httpx.get(f"{url}/model/info").json()["max_input_length"] == 62


def test_an_answer_can_be_explained_with_places_in_the_text(url: str) -> None:
    text = "An unforgettable, moving film."
    answer = httpx.post(f"{url}/predict/explain", json={"text": text}, timeout=60).json()
    assert {part["text"] for part in answer["contributions"]} >= {"film", "moving"}
