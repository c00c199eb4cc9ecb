"""How the server starts, and how it refuses to start: with one sentence and without a stack trace."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from checkouts import save
from networks import mean_network
from signals import default_signals
from tiny import FOUR_LABELS, tiny_artifact, with_golden, write_tiny

from classifier.artifact import read_artifact, write_artifact
from classifier.runtimes.network import NETWORK
from classifier.runtimes.onnx import OnnxSettings
from model_store import HOW_TO_SAVE

BY_MAKE = (sys.executable, "-m", "cli", "serve")
BY_BENTOML = (str(Path(sys.executable).parent / "bentoml"), "serve", "service:TextClassifier")

both_commands = pytest.mark.parametrize("command", [BY_MAKE, BY_BENTOML], ids=["make serve", "bentoml serve"])


def stored(home: Path, name: str) -> list[str]:
    """The versions of a model in a store."""
    folder = home / "models" / name
    return sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.exists() else []


def only_sentence(refused: subprocess.CompletedProcess[str]) -> str:
    """Return the only line on standard error of a server that did not start.

    Besides it, BentoML may say which configuration it has read.
    """
    assert refused.returncode == 1, refused.stderr
    assert "Traceback" not in refused.stdout + refused.stderr
    assert "Serving" not in refused.stdout
    (line,) = [line for line in refused.stderr.splitlines() if "Applying user config" not in line]
    assert line.startswith("error: ")
    return line


# Starts that succeed


def test_onnx_runtime_writes_nothing_to_the_home_folder(project: Path, tmp_path: Path) -> None:
    """By default ONNX Runtime keeps an id of the machine and a queue of reports in the home folder."""
    (tmp_path / "model.onnx").write_bytes(mean_network(np.ones((4, 2), np.float32)))
    home = tmp_path / "home"
    home.mkdir()
    load = (
        "import pathlib, sys; from classifier.runtimes.onnx import OnnxRuntime, OnnxSettings; "
        "from classifier.text import TextSettings, Tokenizer; "
        "settings = OnnxSettings(first_id=2, unknown_id=1, output='logits'); "
        "tokenizer = Tokenizer(TextSettings(max_tokens=8), ('a', 'b')); "
        "OnnxRuntime(pathlib.Path(sys.argv[1]).read_bytes(), settings, tokenizer, 2)"
    )
    # The environment lacks the variables of CI, because with them ONNX Runtime reports nothing anyway.
    subprocess.run(
        [sys.executable, "-c", load, tmp_path / "model.onnx"],
        cwd=project,
        env={"HOME": str(home)},
        check=True,
    )
    assert list(home.rglob("*")) == []


def test_a_fresh_clone_serves_the_bundled_model_on_the_given_port(serve: Any, tmp_path: Path) -> None:
    with serve(tmp_path) as server:
        assert httpx.get(f"{server.url}/model/info").json()["name"] == "imdb-sentiment"
        greeting = server.log
    (version,) = stored(tmp_path, "imdb-sentiment")
    assert f"Serving imdb-sentiment:{version}, in a moment, at\n\n      {server.url} " in greeting


@both_commands
@pytest.mark.parametrize(
    ("host", "address"),
    [("localhost", "127.0.0.1"), ("::1", "[::1]"), ("::", "[::1]"), ("0.0.0.0", "127.0.0.1")],  # noqa: S104
)
def test_every_kind_of_host_is_served(
    serve: Any, one_model: Path, command: tuple[str, ...], host: str, address: str
) -> None:
    with serve(one_model, command, address=address, CLASSIFIER__API__HOST=host) as server:
        assert httpx.get(f"{server.url}/health").json()["status"] == "healthy"
        if command == BY_MAKE:
            assert f"in a moment, at\n\n      {server.url} " in server.log


def test_the_greeting_shows_a_request_that_works(serve: Any, tmp_path: Path) -> None:
    with serve(tmp_path) as server:
        shown = re.search(r"curl -s .*?\n.*?-d '(?P<body>.*)'", server.log)
        assert shown is not None
        answer = httpx.post(
            f"{server.url}/predict", content=shown["body"], headers={"content-type": "application/json"}
        )
    assert answer.json()["label"] == "positive"


def test_the_bundled_model_is_imported_once(serve: Any, tmp_path: Path) -> None:
    with serve(tmp_path) as first:
        assert first.log.count("into the BentoML model store") == 1
    (version,) = stored(tmp_path, "imdb-sentiment")
    artifact = tmp_path / "models" / "imdb-sentiment" / version / "artifact.json"
    changed = artifact.stat().st_mtime_ns
    with serve(tmp_path) as second:
        assert "into the BentoML model store" not in second.log
    assert stored(tmp_path, "imdb-sentiment") == [version]
    assert artifact.stat().st_mtime_ns == changed


def test_bentoml_serve_serves_the_bundled_model_from_an_empty_store(serve: Any, tmp_path: Path) -> None:
    with serve(tmp_path, BY_BENTOML) as server:
        assert httpx.get(f"{server.url}/model/info").json()["name"] == "imdb-sentiment"


def test_bentoml_serve_serves_the_model_in_the_store(
    serve: Any, bundled: Path, project: Path, tmp_path: Path
) -> None:
    tag = save(bundled, tmp_path, project)
    with serve(tmp_path, BY_BENTOML) as server:
        assert httpx.get(f"{server.url}/model/info").json()["version"] == tag.partition(":")[2]


def test_an_environment_variable_overrides_the_file(serve: Any, tmp_path: Path) -> None:
    with serve(tmp_path, CLASSIFIER__API__MAX_BODY_BYTES="1024") as server:
        answer = httpx.post(f"{server.url}/predict", json={"text": "a" * 2000})
    assert answer.status_code == 413
    assert answer.json()["detail"].endswith("at most 1024 are allowed")


def test_the_access_log_has_one_line_of_json_per_request(serve: Any, tmp_path: Path) -> None:
    settings = {"CLASSIFIER__LOGGING__FORMAT": "json", "CLASSIFIER__LOGGING__ACCESS_SHARE": "1"}
    with serve(tmp_path, **settings) as server:
        httpx.post(f"{server.url}/predict", json={"text": "good"})
        httpx.post(f"{server.url}/predict", json={"text": "secret " * 2000})
    lines = [line for line in server.log.splitlines() if '"path":"/predict"' in line.replace(" ", "")]
    assert ['"status":200' in line.replace(" ", "") for line in lines] == [True, False]
    assert "secret" not in server.log


def test_a_model_of_four_classes_is_served(serve: Any, project: Path, tmp_path: Path) -> None:
    artifact = write_tiny(tmp_path / "artifact", FOUR_LABELS)
    home = tmp_path / "home"
    home.mkdir()
    save(artifact, home, project)
    with serve(home, CLASSIFIER__MODEL__NAME="tiny") as server, httpx.Client(base_url=server.url) as http:
        info = http.get("/model/info").json()
        predict = http.post("/predict", json={"text": "a good film"}).json()
        top = http.post("/predict/top-k?k=3", json={"text": "a good film"}).json()
        all_classes = http.post("/predict/top-k", json={"text": "a good film", "k": 99}).json()
        thresholds = http.post("/predict/thresholds", json={"text": "a good film"})
    assert (info["num_classes"], info["classes"]) == (4, list(FOUR_LABELS))
    assert list(predict["probabilities"]) == list(FOUR_LABELS)
    assert "probability_positive" not in predict
    ranked = sorted(predict["probabilities"].items(), key=lambda item: -item[1])
    assert [(item["label"], item["probability"]) for item in all_classes["top_predictions"]] == ranked
    assert top["top_predictions"] == all_classes["top_predictions"][:3]
    assert predict["label"] == ranked[0][0]
    assert thresholds.status_code == 422
    assert thresholds.headers["content-type"] == "application/problem+json"
    assert thresholds.json()["detail"] == (
        "thresholds cannot be tried: the model has 4 classes, and one threshold decides between two"
    )
    assert stored(home, "imdb-sentiment") == []


EMBEDDINGS = np.array([[0, 0], [0, 0], [0, 9], [9, 0]], np.float32)
"""The embeddings of padding, unknown words, good and bad."""


def test_an_onnx_model_is_served(serve: Any, project: Path, tmp_path: Path) -> None:
    settings = OnnxSettings(first_id=2, unknown_id=1, pad_to=8, output="logits")
    artifact = replace(
        tiny_artifact(model=settings),
        vocabulary=("good", "bad"),
        weights={NETWORK: mean_network(EMBEDDINGS)},
    )
    write_artifact(with_golden(artifact), tmp_path / "artifact")
    home = tmp_path / "home"
    home.mkdir()
    save(tmp_path / "artifact", home, project)
    texts = ["good", "bad", "good good bad", "bad bad good", "a word that it does not know"]
    with serve(home, CLASSIFIER__MODEL__NAME="tiny") as server, httpx.Client(base_url=server.url) as http:
        kind = http.get("/model/info").json()["model_type"]
        batch = http.post("/predict/batch", json={"texts": texts}).json()["predictions"]
        single = [http.post("/predict", json={"text": text}).json() for text in texts]
    assert kind == "onnx"
    assert [item["label"] for item in batch[:4]] == ["positive", "negative", "positive", "negative"]
    for in_batch, separate in zip(batch, single, strict=True):
        assert in_batch["probabilities"] == pytest.approx(separate["probabilities"], abs=1e-6)
    assert ["warnings" in item for item in batch] == [False, False, False, False, True]


def _only_the_folder(model: Path) -> None:
    shutil.rmtree(model)
    model.mkdir()
    (model.parent / "latest").unlink()


def _half_of_the_weights(model: Path) -> None:
    weights = model / "weights.npz"
    weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])
    (model.parent / "latest").unlink()


@both_commands
@pytest.mark.parametrize("damage", [_only_the_folder, _half_of_the_weights])
def test_a_bundled_model_whose_import_was_killed_is_imported_again(
    serve: Any, command: tuple[str, ...], one_model: Path, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    home = shutil.copytree(one_model, tmp_path / "home", symlinks=True)
    (version,) = stored(home, "imdb-sentiment")
    damage(home / "models" / "imdb-sentiment" / version)
    with serve(home, command) as server:
        assert httpx.get(f"{server.url}/model/info").json()["version"] == version


def has_begun_to_import(process: subprocess.Popen[str]) -> bool:
    """Whether the service's own code runs; before that, Ctrl+C interrupts the start of Python itself."""
    return "pydantic_core" in Path(f"/proc/{process.pid}/maps").read_text(encoding="utf-8")


@pytest.mark.parametrize("seconds", [0.0, 0.4, 0.8])
def test_ctrl_c_within_the_first_second_prints_no_stack_trace(
    project: Path, one_model: Path, seconds: float
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    with subprocess.Popen(
        BY_MAKE,
        cwd=project,
        env=os.environ | {"BENTOML_HOME": str(one_model), "CLASSIFIER__API__PORT": port},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=default_signals,  # noqa: PLW1509 - no thread of the tests holds a lock here
    ) as process:
        while not has_begun_to_import(process):
            time.sleep(0.01)
        time.sleep(seconds)
        os.killpg(process.pid, signal.SIGINT)
        try:
            shown, _ = process.communicate(timeout=60)
        finally:
            process.kill()
    assert "Traceback" not in shown
    assert "KeyboardInterrupt" not in shown


# Starts that are refused


@pytest.mark.parametrize("home", ["file", "file/home"])
def test_a_home_folder_that_cannot_be_created_prevents_the_start(
    refuse: Any, tmp_path: Path, home: str
) -> None:
    (tmp_path / "file").write_text("not a folder")
    line = only_sentence(refuse(tmp_path / home))
    assert line.startswith(f"error: the BentoML home cannot be made: {tmp_path / 'file'}")
    assert "BENTOML_HOME names another folder" in line


@both_commands
def test_a_version_that_is_too_long_prevents_the_start(
    refuse: Any, command: tuple[str, ...], tmp_path: Path
) -> None:
    line = only_sentence(refuse(tmp_path, command, CLASSIFIER__MODEL__VERSION="a" * 5000))
    assert line.startswith("error: environment variable CLASSIFIER__MODEL__VERSION: model.version is 'aaa")
    assert len(line) < 1000


@both_commands
@pytest.mark.parametrize("content", [b"", b"- 1", b"{"], ids=repr)
def test_a_broken_description_in_the_store_prevents_the_start(
    refuse: Any, command: tuple[str, ...], damaged: tuple[Path, Path], content: bytes
) -> None:
    home, model = damaged
    (model / "model.yaml").write_bytes(content)
    line = only_sentence(refuse(home, command, CLASSIFIER__MODEL__NAME="mine"))
    assert line.startswith(f"error: {model / 'model.yaml'} cannot be read: ")


@both_commands
def test_an_unknown_setting_prevents_the_start(refuse: Any, command: tuple[str, ...], tmp_path: Path) -> None:
    line = only_sentence(refuse(tmp_path, command, CLASSIFIER__API__PROT="1"))
    assert line == (
        "error: environment variable CLASSIFIER__API__PROT: section 'api' has no key 'prot'; "
        "the nearest is 'port'"
    )


@both_commands
def test_a_setting_out_of_its_range_prevents_the_start(
    refuse: Any, command: tuple[str, ...], tmp_path: Path
) -> None:
    line = only_sentence(refuse(tmp_path, command, CLASSIFIER__API__PORT="70000"))
    assert line.startswith("error: environment variable CLASSIFIER__API__PORT: api.port is '70000': ")


@both_commands
@pytest.mark.parametrize("host", ["", "no.such.host.invalid"])
def test_a_host_without_an_address_prevents_the_start(
    refuse: Any, one_model: Path, command: tuple[str, ...], host: str
) -> None:
    assert f"api.host is {host!r}" in only_sentence(refuse(one_model, command, CLASSIFIER__API__HOST=host))


@both_commands
def test_an_invalid_configuration_file_prevents_the_start(
    refuse: Any, command: tuple[str, ...], tmp_path: Path
) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("api: {prot: 1}\n")
    line = only_sentence(refuse(tmp_path, command, CLASSIFIER_CONFIG=str(file)))
    assert line == f"error: {file}: section 'api' has no key 'prot'; the nearest is 'port'"


@both_commands
def test_a_missing_configuration_file_prevents_the_start(
    refuse: Any, command: tuple[str, ...], tmp_path: Path
) -> None:
    line = only_sentence(refuse(tmp_path, command, CLASSIFIER_CONFIG=str(tmp_path / "none.yaml")))
    assert str(tmp_path / "none.yaml") in line


@both_commands
@pytest.mark.parametrize("version", ["latest", "abcdef"])
def test_a_missing_model_prevents_the_start(
    refuse: Any, command: tuple[str, ...], tmp_path: Path, version: str
) -> None:
    settings = {"CLASSIFIER__MODEL__NAME": "nothing", "CLASSIFIER__MODEL__VERSION": version}
    line = only_sentence(refuse(tmp_path, command, **settings))
    assert (
        line == f"error: the BentoML model store has no model 'nothing:{version}'; it is empty; {HOW_TO_SAVE}"
    )


def test_the_error_for_a_missing_model_lists_the_stored_ones(refuse: Any, one_model: Path) -> None:
    line = only_sentence(refuse(one_model, CLASSIFIER__MODEL__NAME="nothing"))
    assert "has no model 'nothing:latest'; it has imdb-sentiment:" in line


def test_a_port_that_is_in_use_prevents_the_start(refuse: Any, one_model: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        line = only_sentence(refuse(one_model, CLASSIFIER__API__PORT=str(port)))
    assert line.startswith(f"error: 127.0.0.1:{port} (api.host, api.port) cannot be listened on: ")


@pytest.fixture(scope="module")
def one_model(bundled: Path, project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the bundled model. Tests that damage it use a copy."""
    home = tmp_path_factory.mktemp("one")
    save(bundled, home, project)
    return home


@pytest.fixture(scope="module")
def foreign_model(bundled: Path, project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a model that is not in this checkout. Tests that damage it use a copy."""
    folder = tmp_path_factory.mktemp("renamed")
    artifact = read_artifact(bundled)
    write_artifact(replace(artifact, manifest=artifact.manifest.model_copy(update={"name": "mine"})), folder)
    home = tmp_path_factory.mktemp("foreign")
    save(folder, home, project)
    return home


@pytest.fixture
def damaged(foreign_model: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A store and the folder of its only model, which a test can damage."""
    home = shutil.copytree(foreign_model, tmp_path / "home", symlinks=True)
    (version,) = stored(home, "mine")
    return home, home / "models" / "mine" / version


@both_commands
@pytest.mark.parametrize("name", ["weights.npz", "vocabulary.json", "golden.jsonl", "MODEL_CARD.md"])
def test_a_corrupted_file_of_the_model_prevents_the_start(
    refuse: Any, command: tuple[str, ...], damaged: tuple[Path, Path], name: str
) -> None:
    home, model = damaged
    content = bytearray((model / name).read_bytes())
    content[len(content) // 2] ^= 1
    (model / name).write_bytes(content)
    line = only_sentence(refuse(home, command, CLASSIFIER__MODEL__NAME="mine"))
    assert str(model) in line
    assert name in line


@both_commands
@pytest.mark.parametrize("name", ["weights.npz", "artifact.json"])
def test_a_missing_file_of_the_model_prevents_the_start(
    refuse: Any, command: tuple[str, ...], damaged: tuple[Path, Path], name: str
) -> None:
    home, model = damaged
    (model / name).unlink()
    line = only_sentence(refuse(home, command, CLASSIFIER__MODEL__NAME="mine"))
    assert str(model) in line
    assert name in line


@both_commands
def test_a_manifest_that_is_not_json_prevents_the_start(
    refuse: Any, command: tuple[str, ...], damaged: tuple[Path, Path]
) -> None:
    home, model = damaged
    (model / "artifact.json").write_text("{")
    line = only_sentence(refuse(home, command, CLASSIFIER__MODEL__NAME="mine"))
    assert str(model / "artifact.json") in line


@both_commands
def test_a_foreign_model_in_the_store_prevents_the_start(
    refuse: Any, command: tuple[str, ...], damaged: tuple[Path, Path]
) -> None:
    home, model = damaged
    for file in model.iterdir():
        if file.name != "model.yaml":
            file.unlink()
    (model / "saved_model.pkl").write_bytes(b"cos\nsystem\n(S'touch /tmp/owned'\ntR.")
    line = only_sentence(refuse(home, command, CLASSIFIER__MODEL__NAME="mine"))
    assert str(model) in line
    assert "artifact.json" in line


@pytest.mark.parametrize(
    ("arguments", "settings"),
    [
        (["--api-workers", "2"], {}),
        ([], {"BENTOML_API_WORKERS": "2"}),
        ([], {"BENTOML_CONFIG": "workers.yaml"}),
    ],
    ids=["option", "variable", "configuration"],
)
def test_more_than_one_worker_is_refused(
    refuse: Any, one_model: Path, tmp_path: Path, arguments: list[str], settings: dict[str, str]
) -> None:
    file = tmp_path / "workers.yaml"
    file.write_text("services:\n  text-classifier:\n    workers: 2\n", encoding="utf-8")
    settings = {name: value.replace(file.name, str(file)) for name, value in settings.items()}
    line = only_sentence(refuse(one_model, (*BY_BENTOML, *arguments), **settings))
    assert line.startswith("error: 2 workers are asked for; this service runs one worker")


def test_the_json_format_has_no_greeting(serve: Any, one_model: Path) -> None:
    with serve(one_model, CLASSIFIER__LOGGING__FORMAT="json") as server:
        lines = server.log.splitlines()
    assert lines
    assert all(isinstance(json.loads(line), dict) for line in lines)
