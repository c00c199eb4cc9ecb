"""Deploying an environment to the cluster of KUBECONFIG, and going back to the version before."""

from pathlib import Path

from k8s import kubectl, preflight
from k8s.environment.release import compare
from k8s.environment.sections import Environment
from k8s.errors import DeploymentError, ReadForbidden
from k8s.manifests import Manifests, Options, check, render_environment
from k8s.objects.labels import APPLICATION, STABLE, TRACK, ui_name
from k8s.objects.tracks import tracks
from k8s.pruning import prune
from k8s.rendering import RENDERED
from k8s.waiting import namespace_of, wait_for_rollout

NEW_MANIFESTS = Path("reports/manifests")
"""Manifests with options are rendered here. The committed ones stay as they are."""

DELETION_TIMEOUT = "2m"
REVISION = "deployment.kubernetes.io/revision"
"""The annotation with which Kubernetes numbers the versions of a Deployment."""


def deploy(env: str, options: Options) -> None:
    """Make the cluster run an environment: check, apply, wait for the rollout, and delete what is left over.

    Without an image or other environments, the committed manifests are applied, which must not be stale.
    A canary is a part of the environment, so a deployment without one ends it. Raises ClassifierError.
    """
    rendered = _rendered(env, options)
    for remark in rendered.remarks:
        kubectl.say(remark)
    if options.for_one or options.has_other_environments:
        out = NEW_MANIFESTS
        print(rendered.write(out), flush=True)  # noqa: T201
    else:
        out = RENDERED
        check([rendered], out)
    environment = rendered.environment
    may_have_namespace = _may_have_namespace(environment.namespace)
    preflight.check(environment)
    if environment.release and not options.names_image:
        kubectl.say(compare(environment.image.reference, environment.release))
    if environment.canary:
        _require_running(environment)
    apply = ("apply", "--kustomize", str(out / env))
    if may_have_namespace:  # Objects in a namespace that is created with them cannot be rehearsed.
        kubectl.rehearse(*apply)
    kubectl.change(*apply)
    for track in reversed(tracks(environment)):
        wait_for_rollout(env, track.name)
    if environment.ui:
        wait_for_rollout(env, ui_name(environment))
    prune(environment)


def _require_running(environment: Environment) -> None:
    """Raise DeploymentError unless the image of the environment is the one that a canary would run beside.

    Otherwise the canary would come with an update of the stable version that nobody asked for.
    """
    template = "jsonpath={.spec.template.spec.containers[0].image}"
    in_namespace = ("--namespace", environment.namespace)
    running = kubectl.read(
        "get", "deployment", environment.name, *in_namespace, "--ignore-not-found", "--output", template
    )
    if not running:
        raise DeploymentError(
            f"nothing runs in {environment.namespace}, so there is nothing to compare a canary with; "
            "`make deploy` comes first; nothing was applied"
        )
    if running != str(environment.image.reference):
        raise DeploymentError(
            f"IMAGE is {str(environment.image.reference)!r}, and {running!r} runs in "
            f"{environment.namespace}; IMAGE must be the image that runs now; nothing was applied"
        )


def roll_back(env: str) -> None:
    """Return to the version before and wait until it is rolled out; raises DeploymentError.

    If a rollout is not complete, the version before is the one whose pods still serve, however many
    deployments have failed since.
    """
    namespace = namespace_of(env)
    serving = _revision_that_serves(namespace)
    revision = () if serving is None else ("--to-revision", str(serving))
    kubectl.change("rollout", "undo", f"deployment/{APPLICATION}", *revision, "--namespace", namespace)
    wait_for_rollout(env)


def _revision_that_serves(namespace: str) -> int | None:
    """The latest revision that has available pods and is not the one that is being rolled out, if any."""
    stable = f"app.kubernetes.io/name={APPLICATION},{TRACK}={STABLE}"
    found = kubectl.read_json("get", "replicasets.apps", "--selector", stable, "--namespace", namespace)[
        "items"
    ]
    revisions = {
        int(one["metadata"]["annotations"][REVISION]): one["status"].get("availableReplicas", 0)
        for one in found
    }
    newest = max(revisions, default=None)
    return max((one for one, pods in revisions.items() if pods and one != newest), default=None)


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


def _may_have_namespace(namespace: str) -> bool:
    """Whether the namespace is there, after waiting if it is being deleted; True if that may not be read.

    Raises DeploymentError if no cluster answers.
    """
    try:
        phase = kubectl.read(
            "get", "namespace", namespace, "--ignore-not-found", "--output", "jsonpath={.status.phase}"
        )
    except ReadForbidden as error:
        kubectl.say(f"not checked: whether there is a namespace {namespace}: {error}")
        return True
    except DeploymentError as error:
        raise DeploymentError(f"KUBECONFIG must name a cluster that answers: {error}") from error
    if phase == "Terminating":
        kubectl.change("wait", "--for=delete", f"namespace/{namespace}", "--timeout", DELETION_TIMEOUT)
    return phase == "Active"
