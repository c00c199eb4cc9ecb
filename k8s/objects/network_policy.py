"""The NetworkPolicy: all rules about what may connect to the pods, and what the pods may connect to."""

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
from k8s.objects.labels import HTTP, application_selector, metadata

DNS_PORT = 53
DNS_PODS = {"k8s-app": "kube-dns"}


def network_policy(environment: Environment) -> NetworkPolicy:
    """Inbound, only HTTP from the sources of requests and scrapes is allowed; outbound, DNS and traces."""
    dns = _pods_in(environment.dns_namespace, DNS_PODS)
    tracing = environment.tracing
    return NetworkPolicy(
        metadata=metadata(environment, environment.name),
        spec=NetworkPolicySpec(
            podSelector=LabelSelector(matchLabels=application_selector(environment)),
            policyTypes=["Ingress", "Egress"],
            ingress=[
                NetworkPolicyIngressRule(from_=sources, ports=[NetworkPolicyPort(port=HTTP, protocol="TCP")])
                for sources in _sources(environment)
            ],
            egress=[
                NetworkPolicyEgressRule(
                    to=[dns],
                    ports=[
                        NetworkPolicyPort(port=DNS_PORT, protocol="UDP"),
                        NetworkPolicyPort(port=DNS_PORT, protocol="TCP"),
                    ],
                ),
                *([_egress_of_traces(tracing)] if tracing else []),
            ],
        ),
    )


def _sources(environment: Environment) -> list[list[NetworkPolicyPeer] | None]:
    """The sources that may send HTTP requests, one rule for each kind of source; None allows every source.

    The order is always the same, so that a patch of the rendered policy can replace one rule.
    """
    if environment.service.type == "NodePort":
        return [None]  # These requests have addresses of nodes, which no selector of pods matches.
    own_namespace = [NetworkPolicyPeer(podSelector=LabelSelector())]
    entry_points = [_peers(entry_point.sources) for entry_point in environment.entry_points.values()]
    monitor = environment.pod_monitor
    prometheus = [[_pods_in(monitor.prometheus_namespace)]] if monitor else []
    return [own_namespace, *entry_points, *prometheus]


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
