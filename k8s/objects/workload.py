"""The objects that run the service: Deployments, and the account and the disruption budget of their pods."""

from lightkube.models.apps_v1 import DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment
from lightkube.models.meta_v1 import LabelSelector
from lightkube.models.policy_v1 import PodDisruptionBudgetSpec
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.core_v1 import ServiceAccount
from lightkube.resources.policy_v1 import PodDisruptionBudget

from k8s.environment.sections import Environment
from k8s.environment.values import CONFIG_DIGEST_CHARACTERS
from k8s.objects.configuration import config_digest
from k8s.objects.labels import application_selector, metadata, track_selector
from k8s.objects.pods import pod_template
from k8s.objects.tracks import Track


def service_account(environment: Environment) -> ServiceAccount:
    """An account without any permission and without a token."""
    annotations = environment.service_account.annotations
    return ServiceAccount(
        metadata=metadata(environment, environment.name, annotations=annotations),
        automountServiceAccountToken=False,
    )


def deployment(environment: Environment, track: Track) -> Deployment:
    """The pods of one track. A rollout replaces them one by one, each after the next one is ready."""
    rollout, selector = environment.rollout, track_selector(environment, track.label)
    return Deployment(
        metadata=metadata(
            environment,
            track.name,
            labels=selector,
            annotations=_annotations(environment, track),
        ),
        spec=DeploymentSpec(
            replicas=track.replicas,
            selector=LabelSelector(matchLabels=selector),
            strategy=DeploymentStrategy(
                type="RollingUpdate",
                rollingUpdate=RollingUpdateDeployment(maxSurge=1, maxUnavailable=0),
            ),
            minReadySeconds=rollout.min_ready_seconds,
            progressDeadlineSeconds=rollout.progress_deadline_seconds,
            revisionHistoryLimit=rollout.revisions,
            template=pod_template(environment, track),
        ),
    )


def _annotations(environment: Environment, track: Track) -> dict[str, str]:
    cause = f"{track.cause}, config {config_digest(environment.config)[:CONFIG_DIGEST_CHARACTERS]}"
    return deployment_annotations(cause, environment.image.pull_policy_of(track.image))


def deployment_annotations(cause: str, pull_policy: str, *ignored: str) -> dict[str, str]:
    """The annotations of a Deployment: what a revision runs, and the checks of kube-score that do not apply.

    `kubectl rollout history` shows the cause of each revision.
    """
    if pull_policy == "IfNotPresent":
        # kube-score asks for Always, but then no container could start while the registry does not answer.
        ignored = ("container-image-pull-policy", *ignored)
    annotations = {"kubernetes.io/change-cause": cause}
    return annotations | ({"kube-score/ignore": ",".join(ignored)} if ignored else {})


def disruption_budget(environment: Environment) -> PodDisruptionBudget:
    """Draining nodes evicts one pod at a time. A pod that is not ready never blocks a drain."""
    return PodDisruptionBudget(
        metadata=metadata(environment, environment.name),
        spec=PodDisruptionBudgetSpec(
            maxUnavailable=1,
            selector=LabelSelector(matchLabels=application_selector(environment)),
            unhealthyPodEvictionPolicy="AlwaysAllow",
        ),
    )
