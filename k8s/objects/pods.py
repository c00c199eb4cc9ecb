"""The pods of a Deployment: one container with as few privileges as possible."""

from lightkube.models.core_v1 import (
    Affinity,
    Capabilities,
    ConfigMapVolumeSource,
    Container,
    ContainerPort,
    EmptyDirVolumeSource,
    EnvVar,
    HTTPGetAction,
    KeyToPath,
    Lifecycle,
    LifecycleHandler,
    LocalObjectReference,
    PodAffinityTerm,
    PodAntiAffinity,
    PodSecurityContext,
    PodSpec,
    PodTemplateSpec,
    Probe,
    ResourceRequirements,
    SeccompProfile,
    SecretVolumeSource,
    SecurityContext,
    SleepAction,
    Toleration,
    TopologySpreadConstraint,
    Volume,
    VolumeMount,
    WeightedPodAffinityTerm,
)
from lightkube.models.meta_v1 import LabelSelector, ObjectMeta

from classifier.settings import CONFIG_PATH_VARIABLE, ENV_PREFIX
from k8s.environment.sections import Amounts, ApiKeys, Environment, ProbeSettings, StartupSettings
from k8s.objects.configuration import CONFIG_FILE, config_digest, config_map_name
from k8s.objects.labels import HTTP, PREFIX, object_labels, track_selector
from k8s.objects.tracks import Track
from serving.routes import LIVEZ, READYZ

CONTAINER = "server"
USER = 10001
CONFIG_FOLDER = "/etc/text-classifier"
KEYS_VOLUME = "api-keys"
KEYS_FOLDER = "/etc/text-classifier-keys"
KEYS_FILE = "keys"
KEYS_FILE_VARIABLE = f"{ENV_PREFIX}API__KEYS_FILE"
READ_BY_GROUP = 0o440
"""Files of a Secret belong to root and to the pod's `fsGroup`, which is the group of the container's user."""
HOSTNAME = "kubernetes.io/hostname"
ZONE = "topology.kubernetes.io/zone"


def pod_template(environment: Environment, track: Track) -> PodTemplateSpec:
    """The template of the track's pods. It changes with the configuration, so that the pods are replaced."""
    config = {f"{PREFIX}/config-sha256": config_digest(environment.config)}
    return PodTemplateSpec(
        metadata=ObjectMeta(
            labels=object_labels(environment) | track_selector(environment, track.label) | track.labels,
            annotations=environment.pods.annotations | track.annotations | config,
        ),
        spec=_pod(environment, LabelSelector(matchLabels=track_selector(environment, track.label)), track),
    )


def _pod(environment: Environment, siblings: LabelSelector, track: Track) -> PodSpec:
    gpu = environment.gpu
    return PodSpec(
        containers=[_container(environment, track)],
        imagePullSecrets=pull_secrets(environment),
        priorityClassName=environment.pods.priority_class,
        serviceAccountName=environment.name,
        automountServiceAccountToken=False,
        enableServiceLinks=False,
        terminationGracePeriodSeconds=environment.shutdown.grace_seconds,
        securityContext=unprivileged_pod(),
        topologySpreadConstraints=[_spread(HOSTNAME, siblings), _spread(ZONE, siblings)],
        affinity=Affinity(
            podAntiAffinity=PodAntiAffinity(
                preferredDuringSchedulingIgnoredDuringExecution=[
                    WeightedPodAffinityTerm(
                        weight=100,
                        podAffinityTerm=PodAffinityTerm(topologyKey=HOSTNAME, labelSelector=siblings),
                    )
                ]
            )
        ),
        volumes=[
            Volume(
                name="config",
                configMap=ConfigMapVolumeSource(name=config_map_name(environment)),
            ),
            Volume(name="tmp", emptyDir=EmptyDirVolumeSource(sizeLimit=environment.resources.temporary)),
            *([_keys_volume(environment.api_keys)] if environment.api_keys else []),
        ],
        nodeSelector=gpu.node_selector if gpu else None,
        tolerations=[Toleration(key=gpu.taint, operator="Exists", effect="NoSchedule")] if gpu else None,
        runtimeClassName=gpu.runtime_class if gpu else None,
    )


def _keys_volume(keys: ApiKeys) -> Volume:
    return Volume(
        name=KEYS_VOLUME,
        secret=SecretVolumeSource(
            secretName=keys.secret,
            items=[KeyToPath(key=keys.key, path=KEYS_FILE)],
            defaultMode=READ_BY_GROUP,
        ),
    )


def _container(environment: Environment, track: Track) -> Container:
    resources, probes, gpu = environment.resources, environment.probes, environment.gpu
    gpus = {gpu.resource: str(gpu.count)} if gpu else {}
    variables = {CONFIG_PATH_VARIABLE: f"{CONFIG_FOLDER}/{CONFIG_FILE}"}
    mounts = [
        VolumeMount(name="config", mountPath=CONFIG_FOLDER, readOnly=True),
        VolumeMount(name="tmp", mountPath="/tmp"),  # noqa: S108
    ]
    if environment.api_keys:
        variables[KEYS_FILE_VARIABLE] = f"{KEYS_FOLDER}/{KEYS_FILE}"
        mounts.append(VolumeMount(name=KEYS_VOLUME, mountPath=KEYS_FOLDER, readOnly=True))
    return Container(
        name=CONTAINER,
        image=str(track.image),
        imagePullPolicy=environment.image.pull_policy_of(track.image),
        env=[EnvVar(name=name, value=value) for name, value in variables.items()],
        ports=[ContainerPort(name=HTTP, containerPort=environment.config.api.port, protocol="TCP")],
        resources=ResourceRequirements(
            requests=amounts(resources.requests), limits=amounts(resources.limits) | gpus
        ),
        startupProbe=startup_probe(LIVEZ.path, probes.startup),
        livenessProbe=probe(LIVEZ.path, probes.liveness, grace_seconds=probes.liveness.grace_seconds),
        readinessProbe=probe(READYZ.path, probes.readiness),
        lifecycle=Lifecycle(
            preStop=LifecycleHandler(sleep=SleepAction(seconds=environment.shutdown.pre_stop_seconds))
        ),
        securityContext=unprivileged_container(),
        # The reason for a failed start is then in `kubectl describe pod`, too.
        terminationMessagePolicy="FallbackToLogsOnError",
        volumeMounts=mounts,
    )


def startup_probe(path: str, settings: StartupSettings) -> Probe:
    """The probe that runs until a container has started. The other probes begin after it."""
    return probe(path, settings, initial_delay_seconds=settings.initial_delay_seconds)


def probe(
    path: str,
    settings: ProbeSettings,
    *,
    initial_delay_seconds: int | None = None,
    grace_seconds: int | None = None,
) -> Probe:
    """A probe that requests a path of the container's port."""
    return Probe(
        httpGet=HTTPGetAction(path=path, port=HTTP),
        periodSeconds=settings.period_seconds,
        timeoutSeconds=settings.timeout_seconds,
        failureThreshold=settings.failures,
        initialDelaySeconds=initial_delay_seconds,
        terminationGracePeriodSeconds=grace_seconds,
    )


def pull_secrets(environment: Environment) -> list[LocalObjectReference] | None:
    """The Secrets with the credentials of the registry; None if it needs none."""
    return [LocalObjectReference(name=secret) for secret in environment.image.pull_secrets] or None


def unprivileged_pod() -> PodSecurityContext:
    """What every pod may do: its container runs as the user of the images, with few system calls."""
    return PodSecurityContext(
        runAsNonRoot=True,
        runAsUser=USER,
        runAsGroup=USER,
        fsGroup=USER,
        seccompProfile=SeccompProfile(type="RuntimeDefault"),
    )


def unprivileged_container() -> SecurityContext:
    """What every container may do: it writes only to its volumes."""
    return SecurityContext(
        allowPrivilegeEscalation=False,
        capabilities=Capabilities(drop=["ALL"]),
        privileged=False,
        readOnlyRootFilesystem=True,
    )


def amounts(given: Amounts) -> dict[str, str]:
    """The amounts by the names that Kubernetes has for the resources."""
    return {resource.replace("_", "-"): quantity for resource, quantity in given}


def _spread(topology: str, siblings: LabelSelector) -> TopologySpreadConstraint:
    return TopologySpreadConstraint(
        maxSkew=1,
        topologyKey=topology,
        whenUnsatisfiable="ScheduleAnyway",
        labelSelector=siblings,
        # Without this key, new pods of a rollout would fill the gaps between the old ones and stay uneven.
        matchLabelKeys=["pod-template-hash"],
    )
