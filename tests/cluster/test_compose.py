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
from cluster import ENGINE, ROOT, TEXTS, Models, wait_until


@pytest.fixture(scope="module")
def compose(images: Mapping[str, str]) -> Callable[..., str]:
    """Run podman-compose or docker compose; returns what it prints."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    tool = [sys.executable, "-m", "podman_compose"] if ENGINE == "podman" else ["docker", "compose"]
    variables = os.environ | {"IMAGE": images["local"], "PORT": port}

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
    compose("down", "--timeout", "40")


def test_it_answers_correctly(url: str, models: Models) -> None:
    answer = httpx.post(f"{url}/predict", json={"text": TEXTS[0]}, timeout=30).json()
    assert answer["probabilities"] == pytest.approx(models[0][TEXTS[0]], abs=1e-6)


def test_its_health_check_passes_and_it_cannot_write_to_its_root(url: str, compose: Any) -> None:  # noqa: ARG001
    content = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
    _, *check = content["services"]["text-classifier"]["healthcheck"]["test"]
    compose("exec", "text-classifier", *check)
    write = "import pathlib\ntry: pathlib.Path('/x').touch()\nexcept OSError as error: print(error.errno)"
    assert compose("exec", "text-classifier", "python3", "-c", write).strip() == "30"
