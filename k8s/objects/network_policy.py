"""The NetworkPolicy: all rules about what may connect to the pods, and what the pods may connect to."""

from lightkube.models.meta_v1 import LabelSelector
from lightkube.models.networking_v1 import (
    NetworkPolicyEgressRule,
    NetworkPolicyIngressRule,
    NetworkPolicyPeer,
    NetworkPolicyPort,
    NetworkPolicySpec,
)
from lightkube.resources.networking_v1 import NetworkPolicy

from k8s.environment.sections import Environment
from k8s.objects.labels import HTTP, application_selector, metadata

DNS_PORT = 53
DNS_PODS = {"k8s-app": "kube-dns"}


def network_policy(environment: Environment) -> NetworkPolicy:
    """Inbound, only HTTP from the sources of requests and scrapes is allowed; outbound, only DNS queries."""
    dns = _pods_in(environment.dns_namespace, DNS_PODS)
    return NetworkPolicy(
        metadata=metadata(environment, environment.name),
        spec=NetworkPolicySpec(
            podSelector=LabelSelector(matchLabels=application_selector(environment)),
            policyTypes=["Ingress", "Egress"],
            ingress=[
                NetworkPolicyIngressRule(
                    from_=_sources(environment), ports=[NetworkPolicyPort(port=HTTP, protocol="TCP")]
                )
            ],
            egress=[
                NetworkPolicyEgressRule(
                    to=[dns],
                    ports=[
                        NetworkPolicyPort(port=DNS_PORT, protocol="UDP"),
                        NetworkPolicyPort(port=DNS_PORT, protocol="TCP"),
                    ],
                )
            ],
        ),
    )


def _sources(environment: Environment) -> list[NetworkPolicyPeer] | None:
    """The sources that may send HTTP requests; None allows every source."""
    if environment.service.type == "NodePort":
        return None  # These requests have addresses of nodes, which no selector of pods matches.
    namespaces = [entry_point.source_namespace for entry_point in environment.entry_points.values()]
    if environment.pod_monitor:
        namespaces.append(environment.pod_monitor.prometheus_namespace)
    own_namespace = NetworkPolicyPeer(podSelector=LabelSelector())
    return [own_namespace, *map(_pods_in, namespaces)]


def _pods_in(namespace: str, labels: dict[str, str] | None = None) -> NetworkPolicyPeer:
    return NetworkPolicyPeer(
        namespaceSelector=LabelSelector(matchLabels={"kubernetes.io/metadata.name": namespace}),
        podSelector=LabelSelector(matchLabels=labels) if labels else None,
    )
