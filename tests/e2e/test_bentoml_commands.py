"""BentoML's own commands, as in its documentation, in a checkout. tests/cluster has `containerize`."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from checkouts import copy_checkout, save
from tiny import write_tiny

from classifier.pipeline import load_classifier

BENTOML = str(Path(sys.executable).parent / "bentoml")
TEXT = "A moving, beautifully acted film."

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def checkout(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout with its own commit."""
    return copy_checkout(project, tmp_path_factory.mktemp("clone") / "checkout")


@pytest.fixture(scope="module")
def bentoml(checkout: Path) -> Run:
    """Run `bentoml` in the checkout with the store in `home`."""

    def bentoml(home: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        inherited = {name: value for name, value in os.environ.items() if "CLASSIFIER_" not in name}
        return subprocess.run(
            [BENTOML, *arguments],
            cwd=checkout,
            env=inherited | {"BENTOML_HOME": str(home), "COLUMNS": "200"} | variables,
            capture_output=True,
            text=True,
            check=False,
        )

    return bentoml


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that is empty at first."""
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def tag(bentoml: Run, home: Path) -> str:
    """The Bento that `bentoml build` makes with an empty store."""
    built = bentoml(home, "build", "--output", "tag")
    assert built.returncode == 0, built.stderr
    return built.stdout.strip().removeprefix("__tag__:")


def stored_versions(home: Path) -> list[str]:
    return [path.name for path in (home / "bentos" / "text-classifier").iterdir() if path.is_dir()]


@pytest.fixture(scope="module")
def probabilities(bundled: Path) -> Any:
    """The right answer for TEXT."""
    (right,) = load_classifier(bundled).predict([TEXT])
    return pytest.approx(list(right.probabilities), abs=1e-9)


def predict(url: str) -> Any:
    return httpx.post(f"{url}/predict", json={"text": TEXT}, timeout=60).json()["probabilities"]


def test_a_build_has_no_warning_and_leaves_nothing_but_the_bento(bentoml: Run, tmp_path: Path) -> None:
    built = bentoml(tmp_path, "build")
    assert "Successfully built" in built.stdout
    assert "WARNING" not in built.stdout + built.stderr
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_second_build_replaces_the_first(bentoml: Run, tmp_path: Path) -> None:
    for _ in range(2):
        assert bentoml(tmp_path, "build").returncode == 0
    assert len(stored_versions(tmp_path)) == 1


def test_a_failed_build_leaves_nothing_and_keeps_the_bento_of_its_name(
    bentoml: Run, checkout: Path, tmp_path: Path
) -> None:
    bentofile = checkout / "bentofile.yaml"
    original = bentofile.read_text(encoding="utf-8")
    try:
        bentofile.write_text(original + "# changed\n", encoding="utf-8")
        assert bentoml(tmp_path, "build").returncode == 0
        before = stored_versions(tmp_path)
        bentofile.write_text(original.replace("description: ", "description: file:none "), encoding="utf-8")
        assert bentoml(tmp_path, "build").returncode != 0
    finally:
        bentofile.write_text(original, encoding="utf-8")
    assert stored_versions(tmp_path) == before
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.parametrize("seconds", [0.5, 0.8, 1.1, 1.4, 1.7])
def test_a_build_that_is_stopped_keeps_the_bento_of_its_name(
    bentoml: Run, checkout: Path, tmp_path: Path, seconds: float
) -> None:
    assert bentoml(tmp_path, "build").returncode == 0
    before = stored_versions(tmp_path)
    with subprocess.Popen(
        [BENTOML, "build"],
        cwd=checkout,
        env=os.environ | {"BENTOML_HOME": str(tmp_path)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as build:
        time.sleep(seconds)
        build.terminate()
    assert stored_versions(tmp_path) == before
    assert (tmp_path / "bentos" / "text-classifier" / before[0] / "bento.yaml").exists()
    assert list((tmp_path / "tmp").iterdir()) == []


def test_builds_at_the_same_time_wait_for_each_other(checkout: Path, tmp_path: Path) -> None:
    variables = os.environ | {"BENTOML_HOME": str(tmp_path)}
    builds = [
        subprocess.Popen([BENTOML, "build"], cwd=checkout, env=variables, stdout=subprocess.DEVNULL)
        for _ in range(2)
    ]
    assert [build.wait() for build in builds] == [0, 0]
    assert len(stored_versions(tmp_path)) == 1


def test_a_store_that_cannot_be_written_is_named(bentoml: Run, tmp_path: Path) -> None:
    assert bentoml(tmp_path, "build").returncode == 0
    shutil.rmtree(tmp_path / "tmp")
    (tmp_path / "tmp").symlink_to("/proc/1")
    refused = bentoml(tmp_path, "build")
    assert refused.returncode == 1
    assert refused.stderr.splitlines()[-1].startswith("error: the BentoML home cannot be written: ")


def test_an_unknown_build_argument_is_refused(bentoml: Run, tmp_path: Path) -> None:
    refused = bentoml(tmp_path, "build", "--arg", "gqu=true")
    assert refused.returncode != 0
    assert "gqu" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_gpu_is_for_networks_only(bentoml: Run, tmp_path: Path) -> None:
    refused = bentoml(tmp_path, "build", "--arg", "gpu=true")
    assert refused.returncode == 1
    assert refused.stderr.splitlines()[-1] == (
        "error: the model is linear, and only networks (onnx, transformer) can run on a GPU"
    )


def test_the_build_and_its_model_are_listed(bentoml: Run, home: Path, tag: str) -> None:
    assert tag in bentoml(home, "list").stdout
    assert "imdb-sentiment:" in bentoml(home, "models", "list").stdout
    assert f"name: {tag.partition(':')[0]}" in bentoml(home, "get", tag).stdout


def test_the_build_is_served_by_its_tag(serve: Any, home: Path, tag: str, probabilities: Any) -> None:
    for name in (tag, "text-classifier:latest"):
        with serve(home, [BENTOML, "serve", name]) as server:
            assert predict(server.url) == probabilities


@pytest.fixture
def tiny_tag(bentoml: Run, checkout: Path, tmp_path: Path) -> tuple[Path, str]:
    """A store with a Bento of a model that config.yaml does not name, and the Bento's tag."""
    home = tmp_path / "tiny-home"
    home.mkdir()
    save(write_tiny(tmp_path / "tiny"), home, checkout)
    built = bentoml(home, "build", "--output", "tag", CLASSIFIER__MODEL__NAME="tiny")
    assert built.returncode == 0, built.stderr
    return home, built.stdout.strip().removeprefix("__tag__:")


def model_of(url: str) -> str:
    info = httpx.get(f"{url}/model/info").json()
    return f"{info['name']}:{info['version']}"


def test_the_build_is_served_with_its_own_model_if_the_store_has_a_newer_one(
    serve: Any, checkout: Path, home: Path, tag: str, bundled: Path, tmp_path: Path
) -> None:
    both = shutil.copytree(home, tmp_path / "both")
    newer = save(write_tiny(tmp_path / "newer", name=bundled.name), both, checkout)
    assert (both / "models" / bundled.name / "latest").read_text(encoding="utf-8") in newer
    with serve(both, [BENTOML, "serve", tag]) as server:
        assert model_of(server.url).startswith(f"{bundled.name}:{tag.rpartition('-')[2]}")


def test_a_bento_of_another_model_is_served_with_it(serve: Any, tiny_tag: tuple[Path, str]) -> None:
    home, tag = tiny_tag
    with serve(home, [BENTOML, "serve", tag]) as server:
        assert model_of(server.url) == f"tiny:{tag.rpartition('-')[2]}"


def test_a_variable_names_another_model_than_the_bentos(
    serve: Any, tiny_tag: tuple[Path, str], bundled: Path, checkout: Path
) -> None:
    home, tag = tiny_tag
    other = save(bundled, home, checkout)
    with serve(home, [BENTOML, "serve", tag], CLASSIFIER__MODEL__NAME=bundled.name) as server:
        assert model_of(server.url) == other


def test_an_exported_bento_is_imported_into_another_store_and_served_with_its_model(
    bentoml: Run, serve: Any, tiny_tag: tuple[Path, str], tmp_path: Path
) -> None:
    home, tag = tiny_tag
    file, elsewhere = tmp_path / "exported.bento", tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert bentoml(home, "export", tag, str(file)).returncode == 0
    assert bentoml(elsewhere, "import", str(file)).returncode == 0
    with serve(elsewhere, [BENTOML, "serve", tag]) as server:
        assert model_of(server.url).startswith("tiny:")


def test_a_bento_is_deleted(bentoml: Run, tmp_path: Path) -> None:
    assert bentoml(tmp_path, "build").returncode == 0
    assert bentoml(tmp_path, "delete", "--yes", "text-classifier:latest").returncode == 0
    assert "text-classifier" not in bentoml(tmp_path, "list").stdout


def test_reload_serves_the_changed_service(
    serve: Any, wait_until: Any, checkout: Path, home: Path, probabilities: Any
) -> None:
    config = checkout / "config.yaml"
    original = config.read_text(encoding="utf-8")

    def refuses(url: str) -> bool:
        try:
            return httpx.post(f"{url}/predict", json={"text": "a" * 2000}).status_code == 413
        except httpx.TransportError:
            return False

    try:
        command = [BENTOML, "serve", "service:TextClassifier", "--reload", "--working-dir", str(checkout)]
        with serve(home, command) as server:
            assert predict(server.url) == probabilities
            config.write_text(original.replace("2097152", "1024"), encoding="utf-8")
            wait_until(lambda: refuses(server.url), "the changed setting counts")
    finally:
        config.write_text(original, encoding="utf-8")
