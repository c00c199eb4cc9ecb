"""`compose.yaml` on this machine, with the engine that made the images."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import httpx
import pytest
import yaml
from cluster import ASK_WITH_CLIENT, ENGINE, ROOT, TEXTS, Models, wait_until


@pytest.fixture(scope="module")
def compose(images: Mapping[str, str]) -> Callable[..., str]:
    """Run podman-compose or docker compose; returns what it prints."""
    with socket.socket() as free, socket.socket() as also_free:
        for one in (free, also_free):
            one.bind(("127.0.0.1", 0))
        port, ui_port = (str(one.getsockname()[1]) for one in (free, also_free))
    tool = [sys.executable, "-m", "podman_compose"] if ENGINE == "podman" else ["docker", "compose"]
    variables = os.environ | {"IMAGE": images["local"], "PORT": port, "UI_PORT": ui_port}

    def run(*arguments: str) -> str:
        command = [*tool, "--project-name", "classifier-test", *arguments]
        done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="module")
def url(compose: Callable[..., str]) -> Iterator[str]:
    compose("up", "--detach")
    port = compose("port", "text-classifier", "3000").strip().rpartition(":")[2]
    address = f"http://127.0.0.1:{port}"

    def is_ready() -> bool:
        try:
            return httpx.get(f"{address}/readyz", timeout=30).status_code == 200
        except httpx.TransportError:
            return False

    wait_until(is_ready, "the container is ready", 60)
    yield address
    compose("down", "--timeout", "40", "--volumes")


def test_it_answers_correctly(url: str, models: Models) -> None:
    answer = httpx.post(f"{url}/predict", json={"text": TEXTS[0]}, timeout=30).json()
    assert answer["probabilities"] == pytest.approx(models[0][TEXTS[0]], abs=1e-6)


def test_its_health_check_passes_and_it_cannot_write_to_its_root(url: str, compose: Any) -> None:  # noqa: ARG001
    content = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
    _, *check = content["services"]["text-classifier"]["healthcheck"]["test"]
    compose("exec", "text-classifier", *check)
    write = "import pathlib\ntry: pathlib.Path('/x').touch()\nexcept OSError as error: print(error.errno)"
    assert compose("exec", "text-classifier", "python3", "-c", write).strip() == "30"


def test_the_web_client_classifies_a_text(url: str, compose: Any, models: Models) -> None:  # noqa: ARG001
    confidence = compose("exec", "ui", "python", "-c", ASK_WITH_CLIENT, TEXTS[0]).strip()
    assert float(confidence) == pytest.approx(max(models[0][TEXTS[0]].values()), abs=1e-6)


def test_the_page_of_the_web_client_is_at_its_port(url: str, compose: Any) -> None:  # noqa: ARG001
    port = compose("port", "ui", "8501").strip().rpartition(":")[2]
    assert httpx.get(f"http://127.0.0.1:{port}/_stcore/health", timeout=30).text == "ok"


@pytest.mark.parametrize(("folder", "error"), [("/", "30"), ("/app", "30"), ("/jobs", "None")])
def test_the_web_client_can_write_its_jobs_and_not_its_root(
    url: str,  # noqa: ARG001
    compose: Any,
    folder: str,
    error: str,
) -> None:
    write = (
        "import pathlib, sys\nerror = None\ntry: pathlib.Path(sys.argv[1], 'x').touch()\n"
        "except OSError as failed: error = failed.errno\nprint(error)"
    )
    assert compose("exec", "ui", "python", "-c", write, folder).strip() == error
