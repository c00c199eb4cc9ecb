"""The Deployment of the web client: one pod with a session for each open page."""

from lightkube.models.apps_v1 import DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment
from lightkube.models.core_v1 import (
    Container,
    ContainerPort,
    EmptyDirVolumeSource,
    EnvVar,
    EnvVarSource,
    Lifecycle,
    LifecycleHandler,
    PodSpec,
    PodTemplateSpec,
    ResourceRequirements,
    SecretKeySelector,
    SleepAction,
    Volume,
    VolumeMount,
)
from lightkube.models.meta_v1 import LabelSelector, ObjectMeta
from lightkube.resources.apps_v1 import Deployment

from k8s.environment.sections import Environment, ProbeSettings, StartupSettings, UiKey, UiSettings
from k8s.objects.labels import HTTP, metadata, object_labels, ui_labels, ui_name, ui_selector
from k8s.objects.pods import (
    amounts,
    probe,
    pull_secrets,
    startup_probe,
    unprivileged_container,
    unprivileged_pod,
)
from k8s.objects.workload import deployment_annotations

CONTAINER = "ui"
PORT = 8501
"""The port on which Streamlit listens in the image."""
HEALTH_PATH = "/_stcore/health"
STARTUP = StartupSettings(initial_delay_seconds=2, period_seconds=1, timeout_seconds=3, failures=60)
LIVENESS = ProbeSettings(period_seconds=10, timeout_seconds=5, failures=6)
"""Patient, because a container that is killed takes every session and job with it."""
READINESS = ProbeSettings(period_seconds=5, timeout_seconds=3, failures=2)
PROGRESS_DEADLINE_SECONDS = 180
"""A node downloads 600 MB before the first start, so this is more than the slowest start takes."""
JOBS_FOLDER = "/jobs"


def ui_deployment(environment: Environment, ui: UiSettings) -> Deployment:
    """One pod, because sessions, uploads and jobs are in its memory and in its volumes.

    A rollout starts the next pod before it stops the last one, so the client is always there. The browsers
    then connect again, each with a new session.
    """
    selector = ui_selector(environment)
    pull_policy = environment.image.pull_policy_of(ui.image)
    # Two probes of one path differ in their patience: Streamlit has no other path that needs no session.
    ignored = ("deployment-replicas", "pod-probes-identical")
    return Deployment(
        metadata=metadata(
            environment,
            ui_name(environment),
            labels=ui_labels(environment),
            annotations=deployment_annotations(ui.image.short, pull_policy, *ignored),
        ),
        spec=DeploymentSpec(
            replicas=1,
            selector=LabelSelector(matchLabels=selector),
            strategy=DeploymentStrategy(
                type="RollingUpdate",
                rollingUpdate=RollingUpdateDeployment(maxSurge=1, maxUnavailable=0),
            ),
            progressDeadlineSeconds=PROGRESS_DEADLINE_SECONDS,
            revisionHistoryLimit=environment.rollout.revisions,
            template=PodTemplateSpec(
                metadata=ObjectMeta(
                    labels=object_labels(environment) | ui_labels(environment),
                    annotations=environment.pods.annotations or None,
                ),
                spec=_pod(environment, ui, pull_policy),
            ),
        ),
    )


def _pod(environment: Environment, ui: UiSettings, pull_policy: str) -> PodSpec:
    shutdown = environment.shutdown
    return PodSpec(
        containers=[_container(environment, ui, pull_policy)],
        imagePullSecrets=pull_secrets(environment),
        priorityClassName=environment.pods.priority_class,
        automountServiceAccountToken=False,
        enableServiceLinks=False,
        terminationGracePeriodSeconds=shutdown.pre_stop_seconds + shutdown.margin_seconds,
        securityContext=unprivileged_pod(),
        volumes=[
            Volume(name="tmp", emptyDir=EmptyDirVolumeSource(sizeLimit=ui.resources.temporary)),
            Volume(name="jobs", emptyDir=EmptyDirVolumeSource(sizeLimit=ui.jobs)),
        ],
    )


def _container(environment: Environment, ui: UiSettings, pull_policy: str) -> Container:
    return Container(
        name=CONTAINER,
        image=str(ui.image),
        imagePullPolicy=pull_policy,
        env=[
            EnvVar(name="CLASSIFIER_URL", value=_service_url(environment)),
            EnvVar(name="CLASSIFIER_UI_JOBS_FOLDER", value=JOBS_FOLDER),
            EnvVar(name="CLASSIFIER_UI_MAX_JOBS_BYTES", value=str(ui.max_jobs_bytes)),
            *([_key(ui.api_key)] if ui.api_key else []),
            *([_browser_address(ui.host)] if ui.host else []),
            *([EnvVar(name="CLASSIFIER_UI_PUBLIC_URL", value=str(ui.public_url))] if ui.public_url else []),
        ],
        ports=[ContainerPort(name=HTTP, containerPort=PORT, protocol="TCP")],
        resources=ResourceRequirements(
            requests=amounts(ui.resources.requests), limits=amounts(ui.resources.limits)
        ),
        startupProbe=startup_probe(HEALTH_PATH, STARTUP),
        livenessProbe=probe(HEALTH_PATH, LIVENESS),
        readinessProbe=probe(HEALTH_PATH, READINESS),
        lifecycle=Lifecycle(
            preStop=LifecycleHandler(sleep=SleepAction(seconds=environment.shutdown.pre_stop_seconds))
        ),
        securityContext=unprivileged_container(),
        terminationMessagePolicy="FallbackToLogsOnError",
        volumeMounts=[
            VolumeMount(name="tmp", mountPath="/tmp"),  # noqa: S108
            VolumeMount(name="jobs", mountPath=JOBS_FOLDER),
        ],
    )


def _service_url(environment: Environment) -> str:
    return f"http://{environment.service_host}:{environment.service.port}"


def _browser_address(host: str) -> EnvVar:
    """The host of the requests. For any other, Streamlit asks a server outside for its address, each time."""
    return EnvVar(name="STREAMLIT_BROWSER_SERVER_ADDRESS", value=host)


def _key(item: UiKey) -> EnvVar:
    secret = SecretKeySelector(name=item.secret, key=item.key)
    return EnvVar(name="CLASSIFIER_API_KEY", valueFrom=EnvVarSource(secretKeyRef=secret))
