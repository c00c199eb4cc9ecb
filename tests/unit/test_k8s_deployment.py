"""Deployments and canaries with a fake kubectl: the commands that they run and the input that they refuse."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from fake_kubectl import TWO_PODS, Cluster
from lightkube.resources.core_v1 import Namespace

from cli.__main__ import main
from k8s import pruning
from k8s.environment.loading import ENVIRONMENTS_PATH, load_environment
from k8s.objects.assembly import objects
from k8s.waiting import namespace_of

STATUS = "rollout status deployment/text-classifier --namespace text-classifier-local --timeout 5m"
CANARY_STATUS = STATUS.replace("deployment/text-classifier", "deployment/text-classifier-canary")
UI_STATUS = STATUS.replace("deployment/text-classifier", "deployment/text-classifier-ui")
PHASE = "get namespace text-classifier-local --ignore-not-found --output jsonpath={.status.phase}"
APPLY_NEW = "apply --kustomize reports/manifests/local"
IMAGE = ("--image", "localhost:1/text-classifier:2")
"""No registry answers there."""


UNSCHEDULABLE = {
    "conditions": [
        {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": "1 Insufficient memory.",
        }
    ]
}

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
    assert cluster.commands == [f"apply --kustomize {folder}", STATUS, UI_STATUS]


def test_an_image_is_rendered_into_another_folder_and_applied(
    cluster: Cluster, run: Run, tmp_path: Path
) -> None:
    assert run("deploy", *IMAGE) == 0
    assert cluster.commands == [APPLY_NEW, STATUS, UI_STATUS]
    assert f"image: {IMAGE[1]}\n" in new_deployment(tmp_path)


def test_environments_from_another_file_are_rendered_into_another_folder_and_applied(
    cluster: Cluster, run: Run, tmp_path: Path
) -> None:
    assert run("deploy", "--environments", with_environment(tmp_path)) == 0
    assert cluster.commands == [APPLY_NEW, STATUS, UI_STATUS]


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
    cluster.answers("jsonpath={.status.phase}", "Terminating")
    assert run("deploy", *IMAGE) == 0
    assert cluster.commands[:2] == [
        "wait --for=delete namespace/text-classifier-local --timeout 2m",
        APPLY_NEW,
    ]


def test_in_a_namespace_that_is_there_the_changes_are_rehearsed_first(cluster: Cluster, run: Run) -> None:
    cluster.answers("jsonpath={.status.phase}", "Active")
    assert run("deploy", *IMAGE) == 0
    assert cluster.commands == [f"{APPLY_NEW} --dry-run=server", APPLY_NEW, STATUS, UI_STATUS]


def test_what_the_cluster_would_refuse_is_shown_and_nothing_is_applied(
    cluster: Cluster, run: Run, capfd: pytest.CaptureFixture[str]
) -> None:
    cluster.answers("jsonpath={.status.phase}", "Active")
    cluster.fails(
        "--dry-run=server", "Warning: old\nThe Service is invalid: port\n{}\nError from server: quota"
    )
    assert run("deploy", *IMAGE) == 1
    assert capfd.readouterr().err.splitlines()[-3:] == [
        "error: the cluster would not accept this; nothing was applied:",
        "The Service is invalid: port",
        "Error from server: quota",
    ]
    assert cluster.commands == [f"{APPLY_NEW} --dry-run=server"]


def test_a_user_who_may_not_read_namespaces_can_deploy_after_a_rehearsal(
    cluster: Cluster, run: Run, capfd: pytest.CaptureFixture[str]
) -> None:
    cluster.fails("get namespace text-classifier-local ", "Error from server (Forbidden): no")
    assert run("deploy", *IMAGE) == 0
    assert cluster.commands == [f"{APPLY_NEW} --dry-run=server", APPLY_NEW, STATUS, UI_STATUS]
    assert (
        "not checked: whether there is a namespace text-classifier-local: Error from server (Forbidden): no"
        in capfd.readouterr().err
    )


def test_what_a_user_who_may_not_read_namespaces_may_not_change_is_not_applied_in_part(
    cluster: Cluster, run: Run
) -> None:
    cluster.fails("get namespace text-classifier-local ", "Error from server (Forbidden): no")
    cluster.fails("--dry-run=server", 'Error from server (Forbidden): cannot patch resource "services"')
    assert run("deploy", *IMAGE) == 1
    assert cluster.commands == [f"{APPLY_NEW} --dry-run=server"]


def test_a_cluster_that_does_not_answer_gives_one_sentence_with_kubectls_last_line(
    cluster: Cluster, run: Run, capfd: pytest.CaptureFixture[str]
) -> None:
    cluster.fails("get namespace", "E1126 memcache.go: noise\nThe connection to the server was refused")
    assert run("deploy", *IMAGE) == 1
    assert capfd.readouterr().err.splitlines()[-1] == (
        "error: KUBECONFIG must name a cluster that answers: The connection to the server was refused"
    )
    assert cluster.log == [PHASE]


BROKEN_KUBECONFIG = 'error loading config file "broken": yaml: did not find expected key'


def test_a_deployment_with_a_broken_kubeconfig_says_error_once(
    cluster: Cluster, run: Run, capfd: pytest.CaptureFixture[str]
) -> None:
    cluster.fails("", f"error: {BROKEN_KUBECONFIG}")
    assert run("deploy", *IMAGE) == 1
    assert capfd.readouterr().err.splitlines()[-1] == (
        f"error: KUBECONFIG must name a cluster that answers: {BROKEN_KUBECONFIG}"
    )


@pytest.mark.parametrize("command", ["rollout-status", "rollback"])
def test_a_command_that_cannot_read_the_deployment_says_why_once(
    cluster: Cluster, run: Run, capfd: pytest.CaptureFixture[str], command: str
) -> None:
    cluster.fails("", f"error: {BROKEN_KUBECONFIG}")
    assert run(command) == 1
    assert capfd.readouterr().err == f"error: {BROKEN_KUBECONFIG}\n"


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
    assert cluster.commands == [APPLY_NEW]


def test_a_failed_rollout_shows_what_the_cluster_says_about_the_pods(
    cluster: Cluster, run: Run, capfd: pytest.CaptureFixture[str]
) -> None:
    cluster.fails("rollout status", "error: deployment exceeded its progress deadline")
    cluster.lists(
        "get pods", {"metadata": {"name": "new"}, "spec": {"containers": []}, "status": UNSCHEDULABLE}
    )
    assert run("deploy", *IMAGE) == 1
    out, err = capfd.readouterr()
    assert out.splitlines()[-2:] == [
        "POD   STATE           REASON          MESSAGE",
        "new   not scheduled   Unschedulable   1 Insufficient memory.",
    ]
    assert err.splitlines()[-1] == (
        "error: deployment text-classifier in text-classifier-local is not rolled out; "
        "`kubectl logs` may say why, and `make rollback ENV=local` returns to the version before"
    )


def test_a_failed_rollout_is_reported_if_events_may_not_be_read(
    cluster: Cluster, run: Run, capfd: pytest.CaptureFixture[str]
) -> None:
    cluster.fails("rollout status", "error: deployment exceeded its progress deadline")
    cluster.fails("get events", "Error from server (Forbidden): no")
    assert run("rollout-status") == 1
    said = capfd.readouterr().err.splitlines()
    assert "events cannot be read: Error from server (Forbidden): no" in said
    assert said[-1].startswith("error: deployment text-classifier in text-classifier-local is not rolled out")


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


# The web client


def test_a_web_client_that_does_not_start_fails_the_deployment_of_a_service_that_did(
    cluster: Cluster, run: Run, capfd: pytest.CaptureFixture[str]
) -> None:
    cluster.fails("deployment/text-classifier-ui", "error: exceeded its progress deadline")
    assert run("deploy", *IMAGE) == 1
    assert capfd.readouterr().err.splitlines()[-1] == (
        "error: deployment text-classifier-ui in text-classifier-local is not rolled out; `kubectl logs` may "
        "say why, and ui.image of the environment must name an image that was pushed; the service itself is "
        "rolled out"
    )
    assert cluster.commands == [APPLY_NEW, STATUS, UI_STATUS]


def test_without_a_web_client_no_rollout_of_one_is_waited_for(
    cluster: Cluster, run: Run, tmp_path: Path
) -> None:
    tree = yaml.safe_load(ENVIRONMENTS_PATH.read_text(encoding="utf-8"))
    tree["local"]["ui"] = None
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(tree))
    assert run("deploy", "--environments", str(tmp_path / "mine.yaml")) == 0
    assert cluster.commands == [APPLY_NEW, STATUS]


# Rollbacks


def test_a_rollback_undoes_the_rollout_and_waits(cluster: Cluster, run: Run) -> None:
    assert run("rollback") == 0
    undo = "rollout undo deployment/text-classifier --namespace text-classifier-local"
    assert cluster.commands == [undo, STATUS]


def revision(number: int, available: int) -> dict[str, Any]:
    annotations = {"deployment.kubernetes.io/revision": str(number)}
    status = {"availableReplicas": available} if available else {}
    return {"metadata": {"annotations": annotations}, "status": status}


@pytest.mark.parametrize(
    ("revisions", "option"),
    [
        ([(1, 0), (2, 2)], ""),
        ([(1, 0), (2, 2), (3, 0)], " --to-revision 2"),
        ([(1, 0), (2, 2), (3, 0), (4, 0)], " --to-revision 2"),
        ([(1, 0), (2, 1), (3, 1)], " --to-revision 2"),
        ([(1, 0)], ""),
        ([], ""),
    ],
    ids=["complete", "one failed", "two failed", "in progress", "first failed", "nothing"],
)
def test_a_rollback_returns_to_the_version_that_serves(
    cluster: Cluster, run: Run, revisions: list[tuple[int, int]], option: str
) -> None:
    cluster.lists("get replicasets.apps ", *(revision(*one) for one in revisions))
    assert run("rollback") == 0
    undo = f"rollout undo deployment/text-classifier{option} --namespace text-classifier-local"
    assert cluster.commands == [undo, STATUS]


def test_a_rollback_leaves_the_check_of_the_environment_to_kubectl(cluster: Cluster, run: Run) -> None:
    """The environment may be in another file, so the command needs only its name."""
    assert run("rollback", "--env", "mine") == 0
    assert all(f"--namespace {namespace_of('mine')}" in command for command in cluster.commands)


def test_rollout_status_waits_and_changes_nothing(cluster: Cluster, run: Run) -> None:
    assert run("rollout-status") == 0
    assert cluster.commands == [STATUS]


# Canaries

RUNNING_IMAGE = "jsonpath={.spec.template.spec.containers[0].image}"


@pytest.mark.parametrize(
    ("running", "sentence"),
    [
        ("", "nothing runs in text-classifier-local"),
        ("localhost:1/text-classifier:1", "'localhost:1/text-classifier:1' runs in text-classifier-local"),
    ],
)
def test_a_canary_beside_an_image_that_does_not_run_is_refused(
    cluster: Cluster, run: Run, capfd: pytest.CaptureFixture[str], running: str, sentence: str
) -> None:
    cluster.answers(RUNNING_IMAGE, running)
    assert run("canary", *IMAGE, "--version", "3") == 1
    assert sentence in capfd.readouterr().err.splitlines()[-1]
    assert cluster.commands == []


def test_a_canary_is_applied_in_addition_to_the_running_image_and_waits_for_both(
    cluster: Cluster, run: Run, tmp_path: Path
) -> None:
    cluster.answers(RUNNING_IMAGE, IMAGE[1])
    assert run("canary", *IMAGE, "--version", "3", "--weight", "30") == 0
    assert cluster.commands == [APPLY_NEW, CANARY_STATUS, STATUS, UI_STATUS]
    assert f"image: {IMAGE[1]}\n" in new_deployment(tmp_path)
    assert "image: localhost:1/text-classifier:3\n" in new_deployment(tmp_path, "-canary")


def test_a_failed_canary_is_reported_and_stays(
    cluster: Cluster, run: Run, capfd: pytest.CaptureFixture[str]
) -> None:
    cluster.answers(RUNNING_IMAGE, IMAGE[1])
    cluster.fails("deployment/text-classifier-canary", "error: exceeded its progress deadline")
    assert run("canary", *IMAGE, "--version", "3") == 1
    assert capfd.readouterr().err.splitlines()[-1] == (
        "error: deployment text-classifier-canary in text-classifier-local is not rolled out; "
        "`kubectl logs` may say why, and `make abort ENV=local IMAGE=…` with the image that ran before ends "
        "the canary"
    )
    assert cluster.commands == [APPLY_NEW, CANARY_STATUS]


CANARY_OBJECTS = {
    "deployments.apps": "deployments.apps/text-classifier-canary",
    "services": "services/text-classifier-canary",
}


@pytest.mark.parametrize("command", ["promote", "abort", "deploy"])
def test_a_canary_is_deleted_after_the_image_has_all_requests(
    cluster: Cluster, run: Run, command: str
) -> None:
    for kind in CANARY_OBJECTS:
        cluster.lists(f"get {kind} ", named("text-classifier"), named("text-classifier-canary"))
    assert run(command, *IMAGE) == 0
    assert cluster.commands == [APPLY_NEW, STATUS, UI_STATUS, delete(*CANARY_OBJECTS.values())]


@pytest.mark.parametrize("command", ["promote", "abort"])
def test_a_canary_stays_if_the_image_is_not_rolled_out(cluster: Cluster, run: Run, command: str) -> None:
    cluster.fails("rollout status", "error: exceeded its progress deadline")
    cluster.lists("get deployments.apps ", named("text-classifier-canary"))
    assert run(command, *IMAGE) == 1
    assert cluster.commands == [APPLY_NEW, STATUS]


# What is left over


def named(name: str, **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": name} | metadata}


def delete(*names: str) -> str:
    options = "--namespace text-classifier-local --ignore-not-found --timeout 2m"
    return f"delete {' '.join(names)} {options}"


def uses(config_map: str) -> dict[str, Any]:
    """The specification of a pod."""
    return {"volumes": [{"configMap": {"name": config_map}}, {"emptyDir": {}}]}


def test_what_an_environment_no_longer_has_is_deleted_after_the_rollout(cluster: Cluster, run: Run) -> None:
    cluster.lists("get ingresses.networking.k8s.io ", named("text-classifier"))
    cluster.lists("get podmonitors.monitoring.coreos.com ", named("text-classifier"))
    assert run("deploy", *IMAGE) == 0
    stale = (
        "ingresses.networking.k8s.io/text-classifier",
        "podmonitors.monitoring.coreos.com/text-classifier",
    )
    assert cluster.commands == [APPLY_NEW, STATUS, UI_STATUS, delete(*stale)]


def test_only_objects_with_the_labels_of_every_rendered_object_are_looked_at(
    cluster: Cluster, run: Run
) -> None:
    assert run("deploy", *IMAGE) == 0
    (looked,) = [command for command in cluster.log if command.startswith("get ingresses")]
    for label in (
        "name in (text-classifier,text-classifier-ui)",
        "component in (server,ui)",
        "part-of in (text-classifier)",
        "managed-by in (kustomize)",
    ):
        assert f"app.kubernetes.io/{label}" in looked


def test_an_object_that_another_object_owns_stays(cluster: Cluster, run: Run) -> None:
    """KEDA gives the autoscaler that it creates the labels of our ScaledObject."""
    owned = named("keda-hpa-text-classifier", ownerReferences=[{"kind": "ScaledObject"}])
    cluster.lists("get horizontalpodautoscalers.autoscaling ", owned | scales(2))
    assert run("deploy", *IMAGE) == 0
    assert cluster.commands == [APPLY_NEW, STATUS, UI_STATUS]


def test_a_config_map_stays_as_long_as_a_pod_or_a_revision_uses_it(cluster: Cluster, run: Run) -> None:
    cluster.lists("get configmaps --namespace", named("used"), named("earlier"), named("left-over"))
    cluster.lists("get pods ", {"spec": uses("used")})
    cluster.lists("get replicasets.apps ", {"spec": {"template": {"spec": uses("earlier")}}})
    assert run("deploy", *IMAGE) == 0
    assert cluster.commands[-1] == delete("configmaps/left-over")


def test_nothing_is_deleted_if_it_is_not_known_which_config_maps_are_used(
    cluster: Cluster, run: Run, capfd: pytest.CaptureFixture[str]
) -> None:
    cluster.lists("get configmaps --namespace", named("left-over"))
    cluster.lists("get ingresses.networking.k8s.io ", named("text-classifier"))
    cluster.fails("get replicasets.apps ", "Error from server (Forbidden): no")
    assert run("deploy", *IMAGE) == 0
    assert cluster.commands[-1] == delete("ingresses.networking.k8s.io/text-classifier")
    assert "ConfigMaps are not deleted: Error from server (Forbidden): no" in capfd.readouterr().err


def test_kinds_that_the_cluster_lacks_or_does_not_show_are_left_out(
    cluster: Cluster, run: Run, capfd: pytest.CaptureFixture[str]
) -> None:
    cluster.fails(
        "get scaledobjects.keda.sh ", 'error: the server doesn\'t have a resource type "scaledobjects"'
    )
    cluster.fails("get httproutes", "Error from server (Forbidden): no")
    assert run("deploy", *IMAGE) == 0
    said = capfd.readouterr().err
    assert "scaledobjects" not in said
    assert "not checked: whether there are httproutes.gateway.networking.k8s.io to delete: " in said


def test_every_kind_that_is_rendered_can_be_deleted() -> None:
    keda = {"prometheus": "http://prometheus:9090", "requests_in_progress": 8}
    every_option = {"autoscaler": {"keda": keda}, "canary": {"version": "2", "weight": 10}}
    by_digest = {"image": {"by_digest": False}}
    rendered = [
        *objects(load_environment("staging")),
        *objects(load_environment("production", every_option | by_digest)),
        *objects(load_environment("local")),
    ]
    assert {type(each) for each in rendered} - {Namespace} == set(pruning.KINDS)


# The number of pods


def with_pods(replicas: int, available: int) -> str:
    return json.dumps(
        TWO_PODS
        | {"spec": TWO_PODS["spec"] | {"replicas": replicas}, "status": {"availableReplicas": available}}
    )


def scales(minimum: int, key: str = "minReplicas") -> dict[str, Any]:
    return {"spec": {key: minimum, "scaleTargetRef": {"name": "text-classifier"}}}


@pytest.mark.parametrize("command", ["deploy", "rollback", "rollout-status"])
@pytest.mark.parametrize(
    "autoscaler",
    [
        ("horizontalpodautoscalers.autoscaling", scales(2)),
        ("scaledobjects.keda.sh", scales(2, "minReplicaCount")),
    ],
    ids=["HPA", "KEDA"],
)
def test_a_rollout_waits_for_the_smallest_number_of_pods(
    cluster: Cluster,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    autoscaler: tuple[str, dict[str, Any]],
) -> None:
    monkeypatch.setattr("k8s.waiting.POLL_SECONDS", 0)
    kind, scaler = autoscaler
    cluster.lists(f"get {kind} --namespace text-classifier-local --output", scaler)
    for _ in range(3):
        cluster.answers("get deployment text-classifier ", with_pods(1, 1), once=True)
    cluster.answers("get deployment text-classifier ", with_pods(2, 1))
    assert run(command) == 0
    waits = [command for command in cluster.commands if command.startswith(STATUS.partition(" --")[0] + " ")]
    assert waits == [STATUS, STATUS.replace("5m", "40s")]


def test_an_autoscaler_that_does_not_act_fails_the_rollout(
    cluster: Cluster, run: Run, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("k8s.waiting.POLL_SECONDS", 0)
    monkeypatch.setattr("k8s.waiting.AUTOSCALER_SECONDS", 0)
    cluster.lists("get horizontalpodautoscalers.autoscaling ", scales(2))
    cluster.answers("get deployment text-classifier ", with_pods(1, 1))
    assert run("rollout-status") == 1
    assert (
        "the autoscaler has not scaled text-classifier to its minimum of 2 pods within 0 seconds; "
        "`kubectl describe hpa -n text-classifier-local` may say why"
    ) in capfd.readouterr().err


def test_the_autoscaler_of_another_deployment_does_not_count(cluster: Cluster, run: Run) -> None:
    other = {"spec": {"minReplicas": 9, "scaleTargetRef": {"name": "another"}}}
    cluster.lists("get horizontalpodautoscalers.autoscaling ", other)
    assert run("rollout-status") == 0
    assert cluster.commands == [STATUS]
