"""Deploying an environment to the cluster of KUBECONFIG: deployments, roll-backs and canaries."""

from pathlib import Path

from k8s import kubectl
from k8s.errors import DeploymentError
from k8s.manifests import Manifests, Options, check, render_environment
from k8s.objects.labels import APPLICATION, CANARY, TRACK, canary_name
from k8s.rendering import RENDERED

NEW_MANIFESTS = Path("reports/manifests")
"""Manifests with options are rendered here. The committed ones stay as they are."""

ROLLOUT_TIMEOUT = "5m"
DELETION_TIMEOUT = "2m"
POD_COLUMNS = (
    "POD:.metadata.name,"
    "REASON:.status.containerStatuses[0].state.waiting.reason,"
    "MESSAGE:.status.containerStatuses[0].state.waiting.message"
)


def namespace_of(env: str) -> str:
    """The namespace of an environment, which every command finds by the environment's name alone."""
    return f"{APPLICATION}-{env}"


def deploy(env: str, options: Options) -> None:
    """Apply an environment and wait until it is rolled out.

    Without an image or other environments, the committed manifests are applied, which must not be stale.
    Raises ClassifierError.
    """
    rendered = _rendered(env, options)
    if options.for_one or options.has_other_environments:
        out = NEW_MANIFESTS
        print(rendered.write(out), flush=True)  # noqa: T201
    else:
        out = RENDERED
        check([rendered], out)
    _check_cluster(env)
    kubectl.change("apply", "--kustomize", str(out / env))
    wait_for_rollout(env)


def start_canary(env: str, options: Options) -> None:
    """Apply an environment with a canary and wait for both. Raises ClassifierError."""
    rendered = _rendered(env, options)
    print(rendered.write(NEW_MANIFESTS), flush=True)  # noqa: T201
    _check_cluster(env)
    kubectl.change("apply", "--kustomize", str(NEW_MANIFESTS / env))
    wait_for_rollout(env, canary_name(rendered.environment))
    wait_for_rollout(env)


def end_canary(env: str, options: Options) -> None:
    """Give all requests to the image of `options`, then delete the canary; raises ClassifierError."""
    deploy(env, options)
    kubectl.change(
        "delete", "deployment,service", "--selector", f"{TRACK}={CANARY}", "--namespace", namespace_of(env)
    )


def roll_back(env: str) -> None:
    """Return to the version before and wait until it is rolled out; raises DeploymentError."""
    kubectl.change("rollout", "undo", f"deployment/{APPLICATION}", "--namespace", namespace_of(env))
    wait_for_rollout(env)


def wait_for_rollout(env: str, deployment: str = APPLICATION) -> None:
    """Wait for a rollout. If it fails, print what the pods wait for and raise DeploymentError."""
    in_namespace = ("--namespace", namespace_of(env))
    if kubectl.succeeds(
        "rollout", "status", f"deployment/{deployment}", *in_namespace, "--timeout", ROLLOUT_TIMEOUT
    ):
        return
    kubectl.succeeds("get", "pods", *in_namespace, "--output", f"custom-columns={POD_COLUMNS}")
    raise DeploymentError(
        f"deployment {deployment} in {namespace_of(env)} is not rolled out; `kubectl logs` may say why, "
        f"and `make rollback ENV={env}` returns to the version before"
    )


def _rendered(env: str, options: Options) -> Manifests:
    """Render an environment whose objects the other commands will find."""
    rendered = render_environment(env, options)
    environment = rendered.environment
    for key, value, expected in (
        ("namespace", environment.namespace, namespace_of(env)),
        ("name", environment.name, APPLICATION),
    ):
        if value != expected:
            raise DeploymentError(
                f"environment {env!r}: {key} is {value!r}; it must be {expected!r}, "
                "where rollback and the other commands look"
            )
    return rendered


def _check_cluster(env: str) -> None:
    """Check that the cluster answers. Wait for a namespace that is being deleted to disappear."""
    namespace = namespace_of(env)
    try:
        phase = kubectl.read(
            "get", "namespace", namespace, "--ignore-not-found", "--output", "jsonpath={.status.phase}"
        )
    except DeploymentError as error:
        raise DeploymentError(f"KUBECONFIG must name a cluster that answers: {error}") from error
    if phase == "Terminating":
        kubectl.change("wait", "--for=delete", f"namespace/{namespace}", "--timeout", DELETION_TIMEOUT)
