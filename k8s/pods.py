"""The pods of a Deployment: one container that may do as little as it can."""

from lightkube.models.core_v1 import (
    Affinity,
    Capabilities,
    ConfigMapVolumeSource,
    Container,
    ContainerPort,
    EmptyDirVolumeSource,
    EnvVar,
    HTTPGetAction,
    Lifecycle,
    LifecycleHandler,
    PodAffinityTerm,
    PodAntiAffinity,
    PodSecurityContext,
    PodSpec,
    PodTemplateSpec,
    Probe,
    ResourceRequirements,
    SeccompProfile,
    SecurityContext,
    SleepAction,
    Toleration,
    TopologySpreadConstraint,
    Volume,
    VolumeMount,
    WeightedPodAffinityTerm,
)
from lightkube.models.meta_v1 import LabelSelector, ObjectMeta

from classifier.settings import CONFIG_PATH_VARIABLE
from k8s.config import CONFIG_FILE, config_digest, config_map_name
from k8s.environments import Amounts, Environment, ProbeSettings
from k8s.labels import HTTP, PREFIX, object_labels, track_selector
from k8s.tracks import Track
from serving.routes import LIVEZ, READYZ, Route

CONTAINER = "server"
USER = 10001
CONFIG_FOLDER = "/etc/text-classifier"
HOSTNAME = "kubernetes.io/hostname"
ZONE = "topology.kubernetes.io/zone"


def pod_template(environment: Environment, track: Track) -> PodTemplateSpec:
    """What each pod of the track is like; a change of the configuration changes it, too."""
    config = {f"{PREFIX}/config-sha256": config_digest(environment.config)}
    return PodTemplateSpec(
        metadata=ObjectMeta(
            labels=object_labels(environment) | track_selector(environment, track.label) | track.labels,
            annotations=track.annotations | config,
        ),
        spec=_pod(environment, LabelSelector(matchLabels=track_selector(environment, track.label)), track),
    )


def _pod(environment: Environment, siblings: LabelSelector, track: Track) -> PodSpec:
    gpu = environment.gpu
    return PodSpec(
        containers=[_container(environment, track)],
        serviceAccountName=environment.name,
        automountServiceAccountToken=False,
        enableServiceLinks=False,
        terminationGracePeriodSeconds=environment.shutdown.grace_seconds,
        securityContext=PodSecurityContext(
            runAsNonRoot=True,
            runAsUser=USER,
            runAsGroup=USER,
            fsGroup=USER,
            seccompProfile=SeccompProfile(type="RuntimeDefault"),
        ),
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
                configMap=ConfigMapVolumeSource(name=config_map_name(environment.name, environment.config)),
            ),
            Volume(name="tmp", emptyDir=EmptyDirVolumeSource(sizeLimit=environment.resources.temporary)),
        ],
        nodeSelector=gpu.node_selector if gpu else None,
        tolerations=[Toleration(key=gpu.taint, operator="Exists", effect="NoSchedule")] if gpu else None,
        runtimeClassName=gpu.runtime_class if gpu else None,
    )


def _container(environment: Environment, track: Track) -> Container:
    resources, gpu = environment.resources, environment.gpu
    gpus = {gpu.resource: str(gpu.count)} if gpu else {}
    return Container(
        name=CONTAINER,
        image=str(track.image),
        imagePullPolicy=environment.image.pull_policy,
        env=[EnvVar(name=CONFIG_PATH_VARIABLE, value=f"{CONFIG_FOLDER}/{CONFIG_FILE}")],
        ports=[ContainerPort(name=HTTP, containerPort=environment.config.api.port, protocol="TCP")],
        resources=ResourceRequirements(
            requests=_amounts(resources.requests), limits=_amounts(resources.limits) | gpus
        ),
        startupProbe=_probe(LIVEZ, environment.probes.startup),
        livenessProbe=_probe(LIVEZ, environment.probes.liveness, environment.probes.liveness.grace_seconds),
        readinessProbe=_probe(READYZ, environment.probes.readiness),
        lifecycle=Lifecycle(
            preStop=LifecycleHandler(sleep=SleepAction(seconds=environment.shutdown.pre_stop_seconds))
        ),
        securityContext=SecurityContext(
            allowPrivilegeEscalation=False,
            capabilities=Capabilities(drop=["ALL"]),
            privileged=False,
            readOnlyRootFilesystem=True,
        ),
        # The sentence that says why it does not start is then in `kubectl describe pod`, too.
        terminationMessagePolicy="FallbackToLogsOnError",
        volumeMounts=[
            VolumeMount(name="config", mountPath=CONFIG_FOLDER, readOnly=True),
            VolumeMount(name="tmp", mountPath="/tmp"),  # noqa: S108
        ],
    )


def _probe(route: Route, settings: ProbeSettings, grace_seconds: int | None = None) -> Probe:
    return Probe(
        httpGet=HTTPGetAction(path=route.path, port=HTTP),
        periodSeconds=settings.period_seconds,
        timeoutSeconds=settings.timeout_seconds,
        failureThreshold=settings.failures,
        terminationGracePeriodSeconds=grace_seconds,
    )


def _amounts(amounts: Amounts) -> dict[str, str]:
    return {resource.replace("_", "-"): quantity for resource, quantity in amounts}


def _spread(topology: str, siblings: LabelSelector) -> TopologySpreadConstraint:
    return TopologySpreadConstraint(
        maxSkew=1,
        topologyKey=topology,
        whenUnsatisfiable="ScheduleAnyway",
        labelSelector=siblings,
        # Without it a rollout's new pods would be placed where the old ones leave gaps, and stay uneven.
        matchLabelKeys=["pod-template-hash"],
    )
