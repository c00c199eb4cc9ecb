"""The NetworkPolicies: all rules about what may connect to pods, and what the pods may connect to."""

from lightkube.models.meta_v1 import LabelSelector
from lightkube.models.networking_v1 import (
    IPBlock,
    NetworkPolicyEgressRule,
    NetworkPolicyIngressRule,
    NetworkPolicyPeer,
    NetworkPolicyPort,
    NetworkPolicySpec,
)
from lightkube.resources.networking_v1 import NetworkPolicy

from k8s.environment.sections import Environment, Sources, TracingSettings
from k8s.objects.labels import (
    HTTP,
    application_selector,
    metadata,
    ui_labels,
    ui_name,
    ui_selector,
)

DNS_PORT = 53
DNS_PODS = {"k8s-app": "kube-dns"}


def network_policy(environment: Environment) -> NetworkPolicy:
    """Inbound, only HTTP from the sources of requests and scrapes is allowed; outbound, DNS and traces."""
    tracing = environment.tracing
    return NetworkPolicy(
        metadata=metadata(environment, environment.name),
        spec=NetworkPolicySpec(
            podSelector=LabelSelector(matchLabels=application_selector(environment)),
            policyTypes=["Ingress", "Egress"],
            ingress=[_http_from(sources) for sources in _sources(environment)],
            egress=[_egress_of_dns(environment), *([_egress_of_traces(tracing)] if tracing else [])],
        ),
    )


def ui_network_policy(environment: Environment) -> NetworkPolicy:
    """Inbound, only HTTP from its namespace and its entry point is allowed; outbound, DNS and the service."""
    entry_points = environment.entry_points.values() if environment.ui_host else ()
    service = NetworkPolicyPeer(podSelector=LabelSelector(matchLabels=application_selector(environment)))
    return NetworkPolicy(
        metadata=metadata(environment, ui_name(environment), labels=ui_labels(environment)),
        spec=NetworkPolicySpec(
            podSelector=LabelSelector(matchLabels=ui_selector(environment)),
            policyTypes=["Ingress", "Egress"],
            ingress=[
                _http_from(sources)
                for sources in ([_own_namespace()], *(_peers(one.sources) for one in entry_points))
            ],
            egress=[
                _egress_of_dns(environment),
                NetworkPolicyEgressRule(
                    to=[service],
                    ports=[NetworkPolicyPort(port=environment.config.api.port, protocol="TCP")],
                ),
            ],
        ),
    )


def _http_from(sources: list[NetworkPolicyPeer] | None) -> NetworkPolicyIngressRule:
    return NetworkPolicyIngressRule(from_=sources, ports=[NetworkPolicyPort(port=HTTP, protocol="TCP")])


def _sources(environment: Environment) -> list[list[NetworkPolicyPeer] | None]:
    """The sources that may send HTTP requests, one rule for each kind of source; None allows every source.

    The order is always the same, so that a patch of the rendered policy can replace one rule.
    """
    if environment.service.type == "NodePort":
        return [None]  # These requests have addresses of nodes, which no selector of pods matches.
    entry_points = [_peers(entry_point.sources) for entry_point in environment.entry_points.values()]
    monitor = environment.pod_monitor
    prometheus = [[_pods_in(monitor.prometheus_namespace)]] if monitor else []
    return [[_own_namespace()], *entry_points, *prometheus]


def _own_namespace() -> NetworkPolicyPeer:
    return NetworkPolicyPeer(podSelector=LabelSelector())


def _egress_of_dns(environment: Environment) -> NetworkPolicyEgressRule:
    return NetworkPolicyEgressRule(
        to=[_pods_in(environment.dns_namespace, DNS_PODS)],
        ports=[
            NetworkPolicyPort(port=DNS_PORT, protocol="UDP"),
            NetworkPolicyPort(port=DNS_PORT, protocol="TCP"),
        ],
    )


def _egress_of_traces(tracing: TracingSettings) -> NetworkPolicyEgressRule:
    return NetworkPolicyEgressRule(
        to=[_pods_in(tracing.namespace)],
        ports=[NetworkPolicyPort(port=tracing.port, protocol="TCP")],
    )


def _peers(sources: Sources) -> list[NetworkPolicyPeer]:
    pods = [_pods_in(sources.namespace)] if sources.namespace else []
    return [*pods, *(NetworkPolicyPeer(ipBlock=IPBlock(cidr=addresses)) for addresses in sources.ranges)]


def _pods_in(namespace: str, labels: dict[str, str] | None = None) -> NetworkPolicyPeer:
    return NetworkPolicyPeer(
        namespaceSelector=LabelSelector(matchLabels={"kubernetes.io/metadata.name": namespace}),
        podSelector=LabelSelector(matchLabels=labels) if labels else None,
    )
