"""This service as a part of another one: a dependency of a BentoML service, an object in a Python process."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from ports import free_port

BENTOML = str(Path(sys.executable).parent / "bentoml")
GOOD, BAD = "A moving, beautifully acted film.", "A waste of two hours."


@pytest.fixture(scope="module")
def blocks(project: Path) -> list[str]:
    """The Python code of the page about BentoML: the second service, and the use in a process."""
    page = (project / "docs" / "bentoml.md").read_text(encoding="utf-8")
    found = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert len(found) == 2
    return list(found)


@pytest.fixture(scope="module")
def front(
    serve: Any, blocks: list[str], project: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    """The second service of the page, with this one behind it."""
    folder = tmp_path_factory.mktemp("front")
    (folder / "front.py").write_text(blocks[0], encoding="utf-8")
    home = tmp_path_factory.mktemp("home")
    command = [BENTOML, "serve", "front:Reviews", "--working-dir", str(folder)]
    port = free_port()
    with serve(home, [*command, "--port", str(port)], port=port, PYTHONPATH=str(project)) as server:
        yield server


def test_the_second_service_awaits_a_prediction(front: Any) -> None:
    stars = [httpx.post(f"{front.url}/stars", json={"review": text}).text for text in (GOOD, BAD)]
    assert stars == ["5", "1"]


def test_the_second_service_waits_for_a_batch_in_a_thread(front: Any) -> None:
    assert httpx.post(f"{front.url}/labels", json={"reviews": [GOOD, BAD]}).json() == ["positive", "negative"]


def test_a_client_of_the_second_service_gets_the_status_of_an_invalid_text(front: Any) -> None:
    answer = httpx.post(f"{front.url}/stars", json={"review": " "})
    assert answer.status_code == 422
    assert "text is blank" in answer.text


def test_the_second_service_loses_no_request_of_many_clients(front: Any) -> None:
    def ask(number: int) -> str:
        return httpx.post(f"{front.url}/stars", json={"review": (GOOD, BAD)[number % 2]}, timeout=60).text

    with ThreadPoolExecutor(16) as clients:
        stars = list(clients.map(ask, range(400)))
    assert stars == ["5", "1"] * 200


def test_a_bento_of_both_services_is_built_and_served(
    serve: Any, blocks: list[str], project: Path, tmp_path: Path
) -> None:
    checkout, home = tmp_path / "checkout", tmp_path / "home"
    subprocess.run(["git", "clone", "--quiet", str(project), str(checkout)], check=True)
    home.mkdir()
    page = (project / "docs" / "bentoml.md").read_text(encoding="utf-8")
    (bentofile,) = re.findall(r"^```yaml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    (checkout / "front.yaml").write_text(bentofile, encoding="utf-8")
    (checkout / "front.py").write_text(blocks[0], encoding="utf-8")
    subprocess.run(
        [BENTOML, "build", "-f", "front.yaml"],
        cwd=checkout,
        env=os.environ | {"BENTOML_HOME": str(home)},
        check=True,
    )
    port = free_port()
    with serve(home, [BENTOML, "serve", "reviews:latest", "--port", str(port)], port=port) as server:
        assert httpx.post(f"{server.url}/stars", json={"review": GOOD}).text == "5"


def test_the_service_is_used_in_a_python_process(blocks: list[str], project: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", blocks[1]],
        cwd=project,
        env=os.environ | {"BENTOML_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "['positive', 'negative']"
