"""The Bento: its content and name, that two builds are equal, and that it serves."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from checkouts import copy_checkout, save
from tiny import write_tiny

from classifier.pipeline import load_classifier
from image.bento import checked_out

TEXT = "A moving, beautifully acted film."
INCLUDED = {
    "LICENSE",
    "bentofile.yaml",
    "classifier",
    "config.yaml",
    "model_store",
    "service.py",
    "serving",
}


def variables(home: Path) -> dict[str, str]:
    """The environment variables with the store in `home` and without the user's settings."""
    inherited = {name: value for name, value in os.environ.items() if "CLASSIFIER_" not in name}
    return inherited | {"BENTOML_HOME": str(home)}


def run(project: Path, home: Path, *command: str) -> str:
    """Run `python -m` in a checkout with the store in `home`; return what it prints."""
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=project,
        env=variables(home),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def build(project: Path, home: Path) -> Path:
    """Build a Bento into the store in `home`; return its folder."""
    name, _, version = run(project, home, "cli", "bento").split()[-1].partition(":")
    return home / "bentos" / name / version


@pytest.fixture
def checkout(project: Path, tmp_path: Path) -> Path:
    """A copy of the checkout with its own commit."""
    return copy_checkout(project, tmp_path / "checkout")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def bento(project: Path, home: Path) -> Path:
    return build(project, home)


def contents(bento: Path) -> dict[str, str]:
    """The digest of each file, without the creation times in `bento.yaml`."""
    found = {
        str(path.relative_to(bento)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in bento.rglob("*")
        if path.is_file() and path.name != "bento.yaml"
    }
    return found | {"bento.yaml": str(without_times(description(bento)))}


def without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_times(item) for key, item in value.items() if key != "creation_time"}
    return [without_times(item) for item in value] if isinstance(value, list) else value


def description(bento: Path) -> Any:
    return yaml.safe_load((bento / "bento.yaml").read_text(encoding="utf-8"))


def test_its_version_and_labels_name_its_commit_and_model(bento: Path, bundled: Path) -> None:
    commit, classifier = checked_out(), load_classifier(bundled)
    assert bento.name == f"{commit.version}-{classifier.version}"
    labels = description(bento)["labels"]
    assert labels["commit"] == commit.digest
    assert labels["model"] == f"{classifier.manifest.name}:{classifier.version}"
    assert hashlib.sha256((bundled / "artifact.json").read_bytes()).hexdigest() == labels["model-digest"]


def test_it_contains_the_service_and_nothing_else(bento: Path) -> None:
    files = {path.relative_to(bento / "src") for path in (bento / "src").rglob("*") if path.is_file()}
    assert {file.parts[0] for file in files} == INCLUDED
    assert {file.suffix for file in files} <= {".py", ".yaml", ".txt", ".html", ".js", ".css", ""}


def test_it_installs_the_locked_packages(project: Path, bento: Path) -> None:
    def lines(file: Path) -> list[str]:
        return [line for line in file.read_text(encoding="utf-8").splitlines() if line.strip(" ")[:1] != "#"]

    locked = lines(project / "requirements" / "serve.txt")
    *installed, added = filter(None, lines(bento / "env" / "python" / "requirements.txt"))
    assert installed == locked
    assert f"{added} \\" in locked  # BentoML adds itself, in the version that is locked too


def test_two_builds_of_one_commit_have_the_same_content(project: Path, bento: Path, tmp_path: Path) -> None:
    assert contents(build(project, tmp_path)) == contents(bento)


def test_the_same_commit_can_be_built_again(project: Path, home: Path, bento: Path) -> None:
    assert build(project, home) == bento


def test_it_serves_the_right_answers(serve: Any, home: Path, bento: Path, bundled: Path) -> None:
    command = [sys.executable, "-m", "bentoml", "serve", str(bento)]
    with serve(home, command) as server:
        answer = httpx.post(f"{server.url}/predict", json={"text": TEXT}, timeout=60).json()
    (right,) = load_classifier(bundled).predict([TEXT])
    assert answer["probabilities"] == pytest.approx(right.probabilities, abs=1e-9)


def test_its_image_listens_on_every_address(bento: Path) -> None:
    dockerfile = (bento / "env" / "docker" / "Dockerfile").read_text(encoding="utf-8")
    assert "ARG CLASSIFIER__API__HOST=0.0.0.0\n" in dockerfile


def test_bentoml_build_makes_the_same_bento(checkout: Path, tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for home in (ours, theirs):
        home.mkdir()
    bento = build(checkout, ours)
    assert "Successfully built" in run(checkout, theirs, "bentoml", "build")
    assert contents(theirs / "bentos" / "text-classifier" / bento.name) == contents(bento)


def test_the_command_builds_it_from_any_folder(checkout: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    variables = os.environ | {"BENTOML_HOME": str(home), "PYTHONPATH": str(checkout)}
    command = [sys.executable, "-m", "cli", "bento"]
    done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("text-classifier:")


def test_a_newer_model_with_the_bundled_models_name_stays_the_latest_and_is_in_the_build(
    checkout: Path, tmp_path: Path, bundled: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    save(bundled, home, checkout)
    newer = save(write_tiny(tmp_path / "newer", name=bundled.name), home, checkout).partition(":")[2]
    bento = build(checkout, home)
    assert description(bento)["labels"]["model"] == f"{bundled.name}:{newer}"
    assert (home / "models" / bundled.name / "latest").read_text(encoding="utf-8") == newer


def test_a_second_build_of_a_changed_checkout_has_the_second_content(checkout: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    config = checkout / "config.yaml"
    original = config.read_text(encoding="utf-8")
    for change in ("first", "second"):
        config.write_text(f"{original}# {change}\n", encoding="utf-8")
        bento = build(checkout, home)
        assert (bento / "src" / "config.yaml").read_text(encoding="utf-8").endswith(f"# {change}\n")
