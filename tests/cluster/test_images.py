"""Images are made and pushed by the engine that is here."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest
from cluster import REPORTS, ROOT

ENGINE = os.environ.get("ENGINE", "podman")
MANIFESTS = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"


def run(*arguments: str, home: Path = REPORTS / "store") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=os.environ | {"BENTOML_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("name", ["first", "second", "damaged"])
def test_a_pushed_image_has_the_digest_that_was_told(images: Mapping[str, str], name: str) -> None:
    place, _, digest = images[name].partition("@")
    registry, _, repository = place.partition("/")
    answer = httpx.head(
        f"http://{registry}/v2/{repository}/manifests/{digest}", headers={"accept": MANIFESTS}
    )
    assert answer.status_code == 200
    assert answer.headers["docker-content-digest"] == digest


def test_a_build_that_fails_is_told_where_an_image_of_that_name_is_there(
    images: Mapping[str, str], tmp_path: Path
) -> None:
    bento = images["local"]
    home = shutil.copytree(REPORTS / "store", tmp_path / "store")
    lock = home / "bentos" / bento.replace(":", "/") / "src" / "requirements" / "serve.txt"
    lock.write_text(lock.read_text(encoding="utf-8") + "nothing-of-this-name==0\n", encoding="utf-8")
    build = (
        f"import bentoml, image.engine; image.engine.build_image(bentoml.bentos.get({bento!r}), {ENGINE!r})"
    )
    done = run("-c", build, home=home)
    assert f"BuildError: {ENGINE} could not make {bento}" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["localhost:5000/text-classifier"], "is no repository with a tag"),
        (["localhost:5000/text-classifier:1", "--image", "nothing-of-this-name:1"], "nothing-of-this-name"),
        (["localhost:1/text-classifier:1"], "connection refused"),
    ],
    ids=["no tag", "no image", "no registry"],
)
@pytest.mark.usefixtures("images")
def test_what_cannot_be_pushed_is_told_in_one_sentence(arguments: list[str], sentence: str) -> None:
    done = run("-m", "image", "push", *arguments, "--engine", ENGINE)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert sentence in line
