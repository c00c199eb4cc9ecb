"""The sections of an environment as frozen models: everything that its manifests are made from."""

from typing import Literal

from pydantic import AnyHttpUrl, BaseModel, ConfigDict, Field

from classifier.settings import Settings
from k8s.environment.values import (
    Annotations,
    ApplicationName,
    Count,
    DelaySeconds,
    DnsLabel,
    DnsName,
    Image,
    ImageReference,
    IpRange,
    Labels,
    Percent,
    PeriodSeconds,
    Port,
    Quantity,
    RunbookUrl,
    Seconds,
    SecretKey,
    Version,
    WindowSeconds,
    amount,
)
from monitoring.rules import RUNBOOK, RunbookPage, published_runbook


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ImageSettings(_Section):
    """The container image."""

    reference: Image
    pull_policy: Literal["Always", "IfNotPresent"] | None
    """None lets the reference decide; see `pull_policy_of`."""
    pull_secrets: tuple[DnsName, ...]
    """Secrets with the registry's credentials, which are created by hand and never rendered."""
    by_digest: bool
    """Whether a reference without a digest is refused."""

    def pull_policy_of(self, image: ImageReference) -> str:
        """When a node asks the registry for an image.

        A digest always names the same image, so a node that has it does not ask, and its containers can
        start again while the registry does not answer. A tag can be moved, so each start asks for it.
        """
        return self.pull_policy or ("Always" if image.version.digest is None else "IfNotPresent")


class Release(_Section):
    """What the image contains. Labels and annotations show it."""

    version: str = Field(pattern=r"^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$")
    model: str = Field(pattern=r"^[^:]+:[a-z0-9]([-a-z0-9_.]{0,61}[a-z0-9])?$")
    model_digest: str = Field(pattern=r"^[0-9a-f]{64}$")
    bento: str | None = None
    commit: str | None = None

    @property
    def model_version(self) -> str:
        """The version in the model's tag."""
        return self.model.partition(":")[2]


class Amounts(_Section):
    """An amount of each resource of a container."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    cpu: Quantity
    memory: Quantity
    ephemeral_storage: Quantity


class Resources(_Section):
    """What a pod is guaranteed, and what it cannot exceed."""

    requests: Amounts
    limits: Amounts
    temporary: Quantity
    """Size limit of /tmp, which counts as ephemeral storage."""


class Gpu(_Section):
    """The GPUs of each pod, and how the nodes that have GPUs are marked."""

    count: Count
    resource: str = "nvidia.com/gpu"
    node_selector: dict[str, str] = {"nvidia.com/gpu.present": "true"}
    taint: str = "nvidia.com/gpu"
    runtime_class: DnsLabel | None = "nvidia"


class Rollout(_Section):
    """How a new version replaces the old one."""

    min_ready_seconds: Seconds
    progress_deadline_seconds: Seconds
    revisions: Count
    """How many earlier versions `kubectl rollout undo` can return to."""


class Shutdown(_Section):
    """The steps of a pod's termination. The service's own settings give the steps between them."""

    pre_stop_seconds: Seconds
    margin_seconds: Seconds
    grace_seconds: Seconds


class ProbeSettings(_Section):
    """How often a probe runs, and how many failures in a row it takes to act."""

    period_seconds: Seconds
    timeout_seconds: Seconds
    failures: Count


class StartupSettings(ProbeSettings):
    """A startup probe, and how long after the container's start it runs for the first time."""

    initial_delay_seconds: DelaySeconds


class LivenessSettings(ProbeSettings):
    """A liveness probe, and how long a container that fails it has to stop by itself."""

    grace_seconds: Count


class Probes(_Section):
    """The three probes: whether the service has started, whether it is alive, and whether it can answer."""

    startup: StartupSettings
    liveness: LivenessSettings
    readiness: ProbeSettings


class PodSettings(_Section):
    """What a cluster's owner wants of pods, and the service does not need."""

    annotations: Annotations
    priority_class: DnsName | None


class ServiceAccountSettings(_Section):
    """The identity of the pods, which has no permissions in the cluster."""

    annotations: Annotations


class ServiceSettings(_Section):
    """The address of the pods: inside the cluster, or on a port of every node."""

    type: Literal["ClusterIP", "NodePort"]
    port: Port
    node_port: Port | None
    annotations: Annotations


class ScaleUp(_Section):
    """Each period adds at most the larger of a percentage and a number of pods."""

    after_seconds: WindowSeconds
    every_seconds: PeriodSeconds
    percent: Count
    pods: Count


class ScaleDown(_Section):
    """Each period removes at most this number of pods."""

    after_seconds: WindowSeconds
    every_seconds: PeriodSeconds
    pods: Count


class ScalingProfile(_Section):
    """How fast the autoscaler changes the number of pods."""

    up: ScaleUp
    down: ScaleDown


class Keda(_Section):
    """Scaling by the requests in progress, which Prometheus counts, instead of CPU and memory."""

    prometheus: str = Field(pattern=r"^https?://[^\s/]+")
    requests_in_progress: Count
    """Target for each pod, on average."""


class Autoscaler(_Section):
    """How many pods run, and what that depends on."""

    min_pods: int = Field(ge=2)
    """At least two, so that one pod can be removed without an outage."""
    max_pods: Count
    cpu_percent: Percent
    memory_percent: Percent
    profile: str
    profiles: dict[str, ScalingProfile]
    keda: Keda | None

    @property
    def scaling(self) -> ScalingProfile:
        """The selected profile."""
        return self.profiles[self.profile]


class Sources(_Section):
    """Where the requests of an entry point come from, which the network policy must allow."""

    namespace: DnsLabel | None = None
    """The namespace of the pods of an Ingress controller or a Gateway."""
    ranges: tuple[IpRange, ...] = ()
    """The addresses of a load balancer outside the cluster that sends requests to the pods itself."""


class EntryPoint(_Section):
    """What brings requests in from outside the cluster."""

    host: DnsName
    sources: Sources
    docs: bool = False
    """Whether the API's page and document are exposed, not only the API."""
    bentoml_clients: bool = False
    """Whether the paths are exposed that BentoML's clients request before anything else."""
    annotations: Annotations = {}


class IngressSettings(EntryPoint):
    """An Ingress with TLS."""

    class_name: DnsName
    tls_secret: DnsName | None
    """None if the controller takes the certificate from somewhere else, as annotations tell it."""


class GatewaySettings(EntryPoint):
    """An existing Gateway, with a listener that terminates TLS."""

    name: DnsName
    namespace: DnsLabel
    listener: DnsName


class SecretItem(_Section):
    """An item of a Secret in the same namespace. The Secret is created by hand and never rendered."""

    secret: DnsName
    key: SecretKey


class ApiKeys(SecretItem):
    """The item with the hashes of the API keys, which the pods mount as a file."""

    key: SecretKey = "keys"


class UiKey(SecretItem):
    """The item with the API key (not its hash) that the web client sends."""

    key: SecretKey = "key"


class UiSettings(_Section):
    """The web client: one pod, whose address inside the cluster is a Service."""

    image: Image
    resources: Resources = Resources(
        requests=Amounts(cpu="100m", memory="512Mi", ephemeral_storage="1Gi"),
        limits=Amounts(cpu="1", memory="1Gi", ephemeral_storage="5Gi"),
        temporary="256Mi",
    )
    jobs: Quantity = "4Gi"
    """Size limit of /jobs, which counts as ephemeral storage. The files of jobs end with the pod."""
    api_key: UiKey | None = None
    """None if the service needs no API key."""
    host: DnsName | None = None
    """The host of its own Ingress or HTTPRoute; None leaves it without an entry point."""
    annotations: Annotations = {}
    """Annotations of its Ingress or HTTPRoute, besides those of the service's."""
    public_url: AnyHttpUrl | None = None
    """The address of the service in code to copy; None shows that inside the cluster."""

    @property
    def max_jobs_bytes(self) -> int:
        """Most bytes that the client lets jobs use.

        The rest is a reserve: the kubelet evicts a pod whose volume is above its limit.
        """
        return int(amount(self.jobs) * 3 / 4)


class PodMonitorSettings(_Section):
    """How the Prometheus operator scrapes the pods."""

    prometheus_namespace: DnsLabel
    every_seconds: Seconds
    api_key: SecretItem | None = None
    """The API key (not its hash) that Prometheus sends if `config.api.metrics_need_key` is set."""
    rules: bool = False
    """Whether the operator also gets the recording rules and alerts of monitoring/."""
    dashboard: bool = False
    """Whether the dashboard of monitoring/ is in a ConfigMap that Grafana's sidecar finds by its label."""
    runbooks: RunbookUrl | None = None
    """The URL of docs/operations.md where people can read it; the alerts have it as `runbook_url`."""

    @property
    def runbook(self) -> RunbookPage:
        """The page with a paragraph for each alert."""
        return RUNBOOK if self.runbooks is None else published_runbook(self.runbooks)


class TracingSettings(_Section):
    """The collector of traces in this cluster, which `config.tracing.endpoint` names."""

    namespace: DnsLabel
    """The namespace of its pods."""
    port: Port
    """The port that its pods listen on, which can differ from that of its Service."""


class Canary(_Section):
    """A second version that receives a part of the requests."""

    version: Version
    weight: int = Field(ge=1, le=99)
    """Share of the requests, in percent."""
    release: Release | None = None
    """None if the contents of the image are not known."""


class Environment(_Section):
    """Everything that the manifests of one environment are made from."""

    name: ApplicationName
    namespace: DnsLabel
    create_namespace: bool
    """Whether the namespace is one of the objects. Otherwise somebody else owns it, and its labels."""
    labels: Labels
    """Labels of every object and every pod, besides those that the manifests need."""
    image: ImageSettings
    release: Release | None
    """None if the contents of the image are not known."""
    config: Settings
    resources: Resources
    gpu: Gpu | None
    rollout: Rollout
    shutdown: Shutdown
    probes: Probes
    pods: PodSettings
    service_account: ServiceAccountSettings
    service: ServiceSettings
    autoscaler: Autoscaler
    dns_namespace: DnsLabel
    ingress: IngressSettings | None
    gateway: GatewaySettings | None
    pod_monitor: PodMonitorSettings | None
    tracing: TracingSettings | None
    """None if the pods send no traces."""
    api_keys: ApiKeys | None
    """None if clients need no API key."""
    ui: UiSettings | None
    """None if no web client runs beside the service."""
    canary: Canary | None

    @property
    def entry_points(self) -> dict[str, EntryPoint]:
        """What brings requests in from outside the cluster, by the key of its section."""
        given: dict[str, EntryPoint | None] = {"ingress": self.ingress, "gateway": self.gateway}
        return {key: settings for key, settings in given.items() if settings is not None}

    @property
    def service_host(self) -> str:
        """The name of the Service inside the cluster."""
        return f"{self.name}.{self.namespace}"

    @property
    def ui_host(self) -> str | None:
        """The host of the web client's own entry point, if it has one."""
        return self.ui.host if self.ui else None

    @property
    def images(self) -> tuple[ImageReference, ...]:
        """The stable image, and the canary's image if there is one."""
        stable = self.image.reference
        canary = (ImageReference(stable.repository, self.canary.version),) if self.canary else ()
        return stable, *canary
