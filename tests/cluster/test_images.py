"""Images, made and pushed by the engine of this machine."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from cluster import ASK_PREDICT, ENGINE, REPORTS, ROOT, TEXTS, Models, wait_until

MANIFESTS = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"
BUILD = """
import sys, bentoml
from image.engine import build_image
build_image(bentoml.bentos.get(sys.argv[1]), sys.argv[2], "text-classifier:cluster-test")
"""


def run(*arguments: str, home: Path = REPORTS / "store") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=os.environ | {"BENTOML_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )


def push(*arguments: str) -> subprocess.CompletedProcess[str]:
    return run("-m", "cli", "push", *arguments, "--engine", ENGINE)


@pytest.mark.parametrize("name", ["first", "second", "damaged"])
def test_a_pushed_image_has_the_digest_that_was_printed(images: Mapping[str, str], name: str) -> None:
    place, _, digest = images[name].partition("@")
    registry, _, repository = place.partition("/")
    answer = httpx.head(
        f"http://{registry}/v2/{repository}/manifests/{digest}", headers={"accept": MANIFESTS}
    )
    assert answer.status_code == 200
    assert answer.headers["docker-content-digest"] == digest


def test_a_failed_build_is_reported_even_if_an_image_of_that_name_exists(
    images: Mapping[str, str], tmp_path: Path
) -> None:
    bento = images["local"]
    home = shutil.copytree(REPORTS / "store", tmp_path / "store")
    lock = home / "bentos" / bento.replace(":", "/") / "env" / "python" / "requirements.txt"
    # No package has such a hash.
    other = re.sub(r"--hash=sha256:([0-9a-f]{60})[0-9a-f]{4}", r"--hash=sha256:0000\1", lock.read_text())
    lock.write_text(other, encoding="utf-8")
    done = run("-c", BUILD, bento, ENGINE, home=home)
    assert f"BuildError: {ENGINE} could not make {bento}" in done.stderr


def engine(*arguments: str) -> str:
    done = subprocess.run([ENGINE, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{arguments}: {done.stderr}"
    return done.stdout.strip()


ASK_READY = "from urllib.request import urlopen; urlopen('http://127.0.0.1:3000/readyz', timeout=2)"


@contextmanager
def running(image: str, *options: str) -> Iterator[str]:
    """Run a container of an image without any network until it is ready; gives its id."""
    isolated = ["--network", "none", "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL"]  # noqa: S108
    container = engine("run", "--detach", *isolated, *options, image)

    def is_ready() -> bool:
        assert engine("inspect", "--format", "{{.State.Running}}", container) == "true", engine(
            "logs", container
        )
        ask = [ENGINE, "exec", container, "python3", "-c", ASK_READY]
        return subprocess.run(ask, capture_output=True, check=False).returncode == 0

    try:
        wait_until(is_ready, "it is ready", 60)
        yield container
    finally:
        engine("rm", "--force", container)


def answer_of(container: str, text: str) -> Any:
    ask = ["python3", "-c", ASK_PREDICT, "http://127.0.0.1:3000", text]
    return json.loads(engine("exec", container, *ask))["probabilities"]


def test_an_image_answers_without_any_network(images: Mapping[str, str], models: Models) -> None:
    with running(images["local"]) as container:
        assert answer_of(container, TEXTS[0]) == pytest.approx(models[0][TEXTS[0]], abs=1e-6)


def test_an_image_is_ready_to_probes_although_its_hosts_are_listed(images: Mapping[str, str]) -> None:
    with running(images["local"], "--env", 'CLASSIFIER__API__ALLOWED_HOSTS=["api.example.com"]'):
        pass


def test_bentoml_containerize_works_in_the_checkout(images: Mapping[str, str], models: Models) -> None:
    bento = images["local"]
    made = run("-m", "bentoml", "containerize", bento, "--backend", ENGINE, "-t", "containerized:1")
    output = made.stdout + made.stderr
    assert "Successfully built Bento container" in output
    assert "not supported by bento v2" not in output
    # The container listens on the port that BentoML's hint names.
    assert f"{ENGINE} run --rm -p 3000:3000 containerized:1" in output
    try:
        with running("containerized:1") as container:
            assert answer_of(container, TEXTS[0]) == pytest.approx(models[0][TEXTS[0]], abs=1e-6)
    finally:
        engine("rmi", "containerized:1")


def test_a_second_build_leaves_no_image_without_a_name(images: Mapping[str, str]) -> None:
    nameless = ("images", "--quiet", "--filter", "dangling=true")
    before = engine(*nameless).split()
    made = run("-c", BUILD, images["local"], ENGINE)
    assert made.returncode == 0, made.stderr
    assert set(engine(*nameless).split()) <= set(before)


def test_a_registry_that_does_not_answer_is_reported(images: Mapping[str, str]) -> None:
    target = "localhost:1/text-classifier:1"
    try:
        done = push(target, "--image", images["local"])
        assert done.returncode == 1
        assert "connection refused" in done.stderr
    finally:
        engine("rmi", target)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["localhost:5000/text-classifier"], "is not a repository with a tag"),
        (["localhost:5000/text-classifier:1", "--image", "nothing-of-this-name:1"], "nothing-of-this-name"),
    ],
    ids=["no tag", "no image"],
)
@pytest.mark.usefixtures("images")
def test_an_image_that_cannot_be_pushed_is_reported_in_one_sentence(
    arguments: list[str], sentence: str
) -> None:
    done = push(*arguments)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert sentence in line
