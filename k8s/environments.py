"""An environment as a frozen tree: everything that its manifests are made of."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from classifier.settings import Settings
from k8s.values import (
    ApplicationName,
    Count,
    DnsLabel,
    DnsName,
    Image,
    ImageReference,
    Percent,
    PeriodSeconds,
    Port,
    Quantity,
    Seconds,
    SecretKey,
    Version,
    WindowSeconds,
)


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ImageSettings(_Section):
    """The container image."""

    reference: Image
    pull_policy: Literal["Always", "IfNotPresent"]
    by_digest: bool
    """Whether a reference without a digest is refused."""


class Release(_Section):
    """What the image holds, for labels and annotations."""

    version: str = Field(pattern=r"^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$")
    model: str = Field(pattern=r"^[^:]+:[a-z0-9]([-a-z0-9_.]{0,61}[a-z0-9])?$")
    model_digest: str = Field(pattern=r"^[0-9a-f]{64}$")
    bento: str | None
    commit: str | None

    @property
    def model_version(self) -> str:
        """The model's tag without its name."""
        return self.model.partition(":")[2]


class Amounts(_Section):
    """An amount of each resource."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    cpu: Quantity
    memory: Quantity
    ephemeral_storage: Quantity


class Resources(_Section):
    """What a pod is promised, and what it cannot pass."""

    requests: Amounts
    limits: Amounts
    temporary: Quantity
    """What /tmp may hold; it counts as ephemeral storage."""


class Gpu(_Section):
    """GPUs of each pod, and what marks the nodes that have them."""

    count: Count
    resource: str = "nvidia.com/gpu"
    node_selector: dict[str, str] = {"nvidia.com/gpu.present": "true"}
    taint: str = "nvidia.com/gpu"
    runtime_class: DnsLabel | None = "nvidia"


class Rollout(_Section):
    """How a new version takes the old one's place."""

    min_ready_seconds: Seconds
    progress_deadline_seconds: Seconds
    revisions: Count
    """Earlier versions that `kubectl rollout undo` can go back to."""


class Shutdown(_Section):
    """The steps of a pod's end; those between them are the service's own settings."""

    pre_stop_seconds: Seconds
    margin_seconds: Seconds
    grace_seconds: Seconds


class ProbeSettings(_Section):
    """How often is asked, and how many failures in a row count."""

    period_seconds: Seconds
    timeout_seconds: Seconds
    failures: Count


class LivenessSettings(ProbeSettings):
    """The same, and how long a container that is not alive has to end by itself."""

    grace_seconds: Count


class Probes(_Section):
    """Has it started, is it alive, can it answer."""

    startup: ProbeSettings
    liveness: LivenessSettings
    readiness: ProbeSettings


class ServiceSettings(_Section):
    """Where callers in the cluster, or of a node's port, find the pods."""

    type: Literal["ClusterIP", "NodePort"]
    port: Port
    node_port: Port | None


class ScaleUp(_Section):
    """At most the larger of a percentage and a number of pods in each period."""

    after_seconds: WindowSeconds
    every_seconds: PeriodSeconds
    percent: Count
    pods: Count


class ScaleDown(_Section):
    """At most so many pods in each period."""

    after_seconds: WindowSeconds
    every_seconds: PeriodSeconds
    pods: Count


class ScalingProfile(_Section):
    """How fast the number of pods changes."""

    up: ScaleUp
    down: ScaleDown


class Keda(_Section):
    """Scaling by the requests in progress that Prometheus sees, not by CPU and memory."""

    prometheus: str = Field(pattern=r"^https?://[^\s/]+")
    requests_in_progress: Count
    """In each pod, on average."""


class Autoscaler(_Section):
    """How many pods there are."""

    min_pods: int = Field(ge=2)
    """At least two, so that one can go."""
    max_pods: Count
    cpu_percent: Percent
    memory_percent: Percent
    profile: str
    profiles: dict[str, ScalingProfile]
    keda: Keda | None

    @property
    def scaling(self) -> ScalingProfile:
        """The profile that is chosen."""
        return self.profiles[self.profile]


class IngressSettings(_Section):
    """An Ingress with TLS."""

    host: DnsName
    class_name: DnsLabel
    tls_secret: DnsLabel
    controller_namespace: DnsLabel
    annotations: dict[str, str] = {}


class GatewaySettings(_Section):
    """A Gateway that is there, with a listener that ends TLS."""

    host: DnsName
    name: DnsLabel
    namespace: DnsLabel
    listener: DnsLabel
    proxy_namespace: DnsLabel
    """Where the pods are that its requests come from."""


class SecretItem(_Section):
    """An item of a Secret of the same namespace, which is made by hand and never rendered."""

    secret: DnsName
    key: SecretKey


class ApiKeys(SecretItem):
    """Where the pods' file of hashes of API keys comes from."""

    key: SecretKey = "keys"


class PodMonitorSettings(_Section):
    """How the Prometheus operator scrapes the pods."""

    prometheus_namespace: DnsLabel
    every_seconds: Seconds
    api_key: SecretItem | None = None
    """The API key, not its hash, that Prometheus sends where `config.api.metrics_need_key` is set."""


class Canary(_Section):
    """A second version that gets a part of the requests."""

    version: Version
    weight: int = Field(ge=1, le=99)
    """Percent of the requests."""


class Environment(_Section):
    """Everything that the manifests of one environment are made of."""

    name: ApplicationName
    namespace: DnsLabel
    image: ImageSettings
    release: Release | None
    """None where it is not known what the image holds."""
    config: Settings
    resources: Resources
    gpu: Gpu | None
    rollout: Rollout
    shutdown: Shutdown
    probes: Probes
    service: ServiceSettings
    autoscaler: Autoscaler
    dns_namespace: DnsLabel
    ingress: IngressSettings | None
    gateway: GatewaySettings | None
    pod_monitor: PodMonitorSettings | None
    api_keys: ApiKeys | None
    """None where no API key is needed."""
    canary: Canary | None

    @property
    def images(self) -> tuple[ImageReference, ...]:
        """The image, and the canary's where there is one."""
        stable = self.image.reference
        canary = (ImageReference(stable.repository, self.canary.version),) if self.canary else ()
        return stable, *canary
