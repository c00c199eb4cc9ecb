"""Deployments and canaries with a fake kubectl: the commands that they run and the input that they refuse."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from cli.__main__ import main
from k8s.deployment import namespace_of
from k8s.environment.loading import ENVIRONMENTS_PATH

FAKE_KUBECTL = """#!/bin/sh
printf '%s\\n' "$*" >> "$FAKE/log"
for answer in "$FAKE"/answers/*; do
    [ -f "$answer" ] || continue
    case "$*" in
        *"$(head -1 "$answer")"*) sed -n '3,$p' "$answer" >&2; exit "$(sed -n 2p "$answer")";;
    esac
done
case "$*" in *jsonpath={.status.phase}*) cat "$FAKE/phase" 2>/dev/null;; esac
exit 0
"""
"""It logs its arguments. A file in `answers` has a part of a command line, an exit code and an error."""

STATUS = "rollout status deployment/text-classifier --namespace text-classifier-local --timeout 5m"
CANARY_STATUS = STATUS.replace("deployment/text-classifier", "deployment/text-classifier-canary")
PHASE = "get namespace text-classifier-local --ignore-not-found --output jsonpath={.status.phase}"
APPLY_NEW = "apply --kustomize reports/manifests/local"
IMAGE = ("--image", "localhost:5000/text-classifier:2")


class Cluster:
    """The fake `kubectl` on the PATH and the commands that it received."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "answers").mkdir()

    def fails(self, part: str, message: str, exit_code: int = 1) -> None:
        """Make every command that contains `part` fail."""
        number = len(list((self.folder / "answers").iterdir()))
        (self.folder / "answers" / str(number)).write_text(f"{part}\n{exit_code}\n{message}\n")

    def has_namespace(self, phase: str) -> None:
        (self.folder / "phase").write_text(phase)

    @property
    def commands(self) -> list[str]:
        log = self.folder / "log"
        return log.read_text().splitlines() if log.exists() else []


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    folder = tmp_path / "cluster"
    folder.mkdir()
    program = folder / "kubectl"
    program.write_text(FAKE_KUBECTL)
    program.chmod(0o755)
    monkeypatch.setenv("FAKE", str(folder))
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    return Cluster(folder)


Run = Callable[..., int]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command line; return its exit code."""

    def run(*words: str) -> int:
        monkeypatch.setattr(sys, "argv", ["text-classifier", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0)

    return run


def new_deployment(tmp_path: Path, suffix: str = "") -> str:
    return (tmp_path / "reports" / "manifests" / "local" / f"deployment{suffix}.yaml").read_text()


def with_environment(tmp_path: Path, **changes: str) -> str:
    """A file of environments in which these keys of `local` are changed."""
    tree = yaml.safe_load(ENVIRONMENTS_PATH.read_text(encoding="utf-8"))
    tree["local"] |= changes
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(tree))
    return str(path)


# Deploying


def test_without_an_image_the_committed_manifests_are_applied(cluster: Cluster, run: Run) -> None:
    assert run("deploy", "--env", "local") == 0
    folder = ENVIRONMENTS_PATH.parent / "rendered" / "local"
    assert cluster.commands == [PHASE, f"apply --kustomize {folder}", STATUS]


def test_an_image_is_rendered_into_another_folder_and_applied(
    cluster: Cluster, run: Run, tmp_path: Path
) -> None:
    assert run("deploy", *IMAGE) == 0
    assert cluster.commands == [PHASE, APPLY_NEW, STATUS]
    assert f"image: {IMAGE[1]}\n" in new_deployment(tmp_path)


def test_environments_from_another_file_are_rendered_into_another_folder_and_applied(
    cluster: Cluster, run: Run, tmp_path: Path
) -> None:
    assert run("deploy", "--environments", with_environment(tmp_path)) == 0
    assert cluster.commands == [PHASE, APPLY_NEW, STATUS]


def test_committed_manifests_that_are_stale_are_not_applied(
    cluster: Cluster,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.setattr("k8s.deployment.RENDERED", tmp_path / "rendered")
    assert run("deploy") == 1
    assert "local is stale: " in capfd.readouterr().err
    assert cluster.commands == []


def test_every_command_that_changes_the_cluster_is_shown(
    cluster: Cluster, run: Run, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run("deploy", *IMAGE) == 0
    shown = [line for line in capfd.readouterr().err.splitlines() if line.startswith("kubectl ")]
    assert shown == [f"kubectl {APPLY_NEW}"]
    assert f"{APPLY_NEW}" in cluster.commands


def test_a_deployment_waits_for_a_namespace_that_is_being_deleted(cluster: Cluster, run: Run) -> None:
    cluster.has_namespace("Terminating")
    assert run("deploy", *IMAGE) == 0
    assert cluster.commands[:3] == [
        PHASE,
        "wait --for=delete namespace/text-classifier-local --timeout 2m",
        APPLY_NEW,
    ]


def test_a_deployment_does_not_wait_for_an_active_namespace(cluster: Cluster, run: Run) -> None:
    cluster.has_namespace("Active")
    assert run("deploy", *IMAGE) == 0
    assert cluster.commands == [PHASE, APPLY_NEW, STATUS]


def test_a_cluster_that_does_not_answer_gives_one_sentence_with_kubectls_last_line(
    cluster: Cluster, run: Run, capfd: pytest.CaptureFixture[str]
) -> None:
    cluster.fails("get namespace", "E1126 memcache.go: noise\nThe connection to the server was refused")
    assert run("deploy", *IMAGE) == 1
    assert capfd.readouterr().err.splitlines()[-1] == (
        "error: KUBECONFIG must name a cluster that answers: The connection to the server was refused"
    )
    assert cluster.commands == [PHASE]


def test_an_apply_that_fails_ends_the_deployment(
    cluster: Cluster, run: Run, capfd: pytest.CaptureFixture[str]
) -> None:
    cluster.fails("apply", "Error from server (Forbidden): no")
    assert run("deploy", *IMAGE) == 1
    *_, reason, last = capfd.readouterr().err.splitlines()
    assert (reason, last) == (
        "Error from server (Forbidden): no",
        "error: `kubectl apply --kustomize` failed, for the reason above",
    )
    assert cluster.commands == [PHASE, APPLY_NEW]


def test_a_failed_rollout_shows_what_the_pods_wait_for(
    cluster: Cluster, run: Run, capfd: pytest.CaptureFixture[str]
) -> None:
    cluster.fails("rollout status", "error: deployment exceeded its progress deadline")
    assert run("deploy", *IMAGE) == 1
    assert cluster.commands[-1].startswith(
        "get pods --namespace text-classifier-local --output custom-columns="
    )
    assert ".state.waiting.reason" in cluster.commands[-1]
    assert capfd.readouterr().err.splitlines()[-1] == (
        "error: deployment text-classifier in text-classifier-local is not rolled out; "
        "`kubectl logs` may say why, and `make rollback ENV=local` returns to the version before"
    )


def test_a_missing_kubectl_gives_a_one_sentence_error(
    cluster: Cluster, run: Run, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(cluster.folder / "answers"))
    assert run("rollback") == 1
    assert capfd.readouterr().err.splitlines()[-1] == (
        "error: kubectl cannot be run: No such file or directory; it must be on the PATH"
    )


@pytest.mark.parametrize(
    ("key", "expected"), [("namespace", "text-classifier-local"), ("name", "text-classifier")]
)
@pytest.mark.parametrize("command", ["deploy", "canary", "promote", "abort"])
def test_objects_that_the_other_commands_would_not_find_are_refused(
    cluster: Cluster,
    run: Run,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    command: str,
    key: str,
    expected: str,
) -> None:
    environments = ("--environments", with_environment(tmp_path, **{key: "mine"}))
    version = ("--version", "3") if command == "canary" else ()
    assert run(command, *IMAGE, *environments, *version) == 1
    assert capfd.readouterr().err == (
        f"error: environment 'local': {key} is 'mine'; it must be {expected!r}, "
        "where rollback and the other commands look\n"
    )
    assert cluster.commands == []
    assert not (tmp_path / "reports").exists()


@pytest.mark.parametrize(
    ("words", "missing"),
    [
        (["deploy", "--image", ""], "IMAGE"),
        (["deploy", "--bento", ""], "BENTO"),
        (["deploy", "--environments", ""], "ENVIRONMENTS"),
        (["deploy", "--bento", "text-classifier:1"], "IMAGE"),
        (["canary", "--version", "2"], "IMAGE"),
        (["canary", *IMAGE], "VERSION"),
        (["canary", *IMAGE, "--version", ""], "VERSION"),
        (["promote"], "IMAGE"),
        (["abort"], "IMAGE"),
        (["abort", "--image", ""], "IMAGE"),
        (["push", ""], "TARGET"),
    ],
    ids=" ".join,
)
def test_a_missing_value_is_wrong_usage_and_changes_nothing(
    cluster: Cluster, run: Run, capfd: pytest.CaptureFixture[str], words: list[str], missing: str
) -> None:
    assert run(*words) == 2
    assert f"{missing} is not given" in capfd.readouterr().err
    assert cluster.commands == []


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ["deploy", "--env", "lokal"],
            "has no environment 'lokal'; the nearest is 'local'",
        ),
        (["deploy", *IMAGE, "--bento", "text-classifier"], "the Bento 'text-classifier' has no version"),
        (["deploy", "--image", "text-classifier"], "image.reference is 'text-classifier'"),
        (["canary", *IMAGE, "--version", "2"], "canary.version is '2'; it must differ"),
        (["canary", *IMAGE, "--version", "3", "--weight", "100"], "canary.weight is 100"),
    ],
)
def test_an_invalid_value_changes_nothing(
    cluster: Cluster, run: Run, capfd: pytest.CaptureFixture[str], words: list[str], sentence: str
) -> None:
    assert run(*words) == 1
    assert sentence in capfd.readouterr().err
    assert cluster.commands == []


# Rollbacks


def test_a_rollback_undoes_the_rollout_and_waits(cluster: Cluster, run: Run) -> None:
    assert run("rollback") == 0
    undo = "rollout undo deployment/text-classifier --namespace text-classifier-local"
    assert cluster.commands == [undo, STATUS]


def test_a_rollback_leaves_the_check_of_the_environment_to_kubectl(cluster: Cluster, run: Run) -> None:
    """The environment may be in another file, so the command needs only its name."""
    assert run("rollback", "--env", "mine") == 0
    assert all(f"--namespace {namespace_of('mine')}" in command for command in cluster.commands)


def test_rollout_status_waits_and_changes_nothing(cluster: Cluster, run: Run) -> None:
    assert run("rollout-status") == 0
    assert cluster.commands == [STATUS]


# Canaries


def test_a_canary_is_applied_in_addition_to_the_running_image_and_waits_for_both(
    cluster: Cluster, run: Run, tmp_path: Path
) -> None:
    assert run("canary", *IMAGE, "--version", "3", "--weight", "30") == 0
    assert cluster.commands == [PHASE, APPLY_NEW, CANARY_STATUS, STATUS]
    assert f"image: {IMAGE[1]}\n" in new_deployment(tmp_path)
    assert "image: localhost:5000/text-classifier:3\n" in new_deployment(tmp_path, "-canary")


def test_a_failed_canary_is_reported_and_stays(
    cluster: Cluster, run: Run, capfd: pytest.CaptureFixture[str]
) -> None:
    cluster.fails("deployment/text-classifier-canary", "error: exceeded its progress deadline")
    assert run("canary", *IMAGE, "--version", "3") == 1
    assert "error: deployment text-classifier-canary in " in capfd.readouterr().err
    assert cluster.commands[-1].startswith("get pods ")


@pytest.mark.parametrize("command", ["promote", "abort"])
def test_a_canary_is_deleted_after_the_image_has_all_requests(
    cluster: Cluster, run: Run, command: str
) -> None:
    assert run(command, *IMAGE) == 0
    delete = "delete deployment,service --selector track=canary --namespace text-classifier-local"
    assert cluster.commands == [PHASE, APPLY_NEW, STATUS, delete]


@pytest.mark.parametrize("command", ["promote", "abort"])
def test_a_canary_stays_if_the_image_is_not_rolled_out(cluster: Cluster, run: Run, command: str) -> None:
    cluster.fails("rollout status", "error: exceeded its progress deadline")
    assert run(command, *IMAGE) == 1
    assert not any(one.startswith("delete") for one in cluster.commands)
