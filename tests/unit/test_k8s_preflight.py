"""What is looked up before a deployment, and the sentence for each thing that the cluster lacks."""

import json
from typing import Any

import pytest
from fake_kubectl import Cluster
from lightkube.models.core_v1 import LocalObjectReference, PodSpec

from k8s import preflight
from k8s.environment.loading import load_environment
from k8s.environment.sections import Environment
from k8s.errors import DeploymentError
from k8s.objects.assembly import objects
from k8s.objects.labels import object_labels

PUSHED = {"image": {"reference": f"registry.example.com/text-classifier@sha256:{'1' * 64}"}}
STAGING = "text-classifier-staging"


def production(**overrides: Any) -> Environment:
    return load_environment("production", PUSHED | overrides)


def staging(**overrides: Any) -> Environment:
    return load_environment("staging", overrides)


def refusals(environment: Environment) -> list[str]:
    with pytest.raises(DeploymentError) as refused:
        preflight.check(environment)
    first, *sentences = str(refused.value).splitlines()
    assert first == f"{environment.namespace} cannot be deployed; nothing was applied:"
    return [sentence.removeprefix("- ") for sentence in sentences]


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize("environment", [production(), staging(), load_environment("local")])
def test_a_cluster_that_has_everything_is_accepted(environment: Environment) -> None:
    preflight.check(environment)


@pytest.mark.usefixtures("cluster")
def test_the_digest_that_stands_for_no_image_is_refused() -> None:
    (sentence,) = refusals(load_environment("production"))
    assert "sha256:0000" in sentence
    assert sentence.endswith("whose digest no image has; IMAGE must name the pushed image")


NOT_SERVED = "Error from server (NotFound): the server could not find the requested resource"
KEDA = {"autoscaler": {"keda": {"prometheus": "http://prometheus:9090", "requests_in_progress": 8}}}


@pytest.mark.parametrize(
    ("environment", "api_version", "sentence"),
    [
        (
            production(),
            "gateway.networking.k8s.io/v1",
            "the cluster has no HTTPRoute (gateway.networking.k8s.io/v1); "
            "install Gateway API and a controller for it, or set `gateway` to null",
        ),
        (
            production(pod_monitor={"rules": False}),
            "monitoring.coreos.com/v1",
            "the cluster has no PodMonitor (monitoring.coreos.com/v1); "
            "install the Prometheus operator, or set `pod_monitor` to null",
        ),
        (
            production(**KEDA),
            "keda.sh/v1alpha1",
            "the cluster has no ScaledObject (keda.sh/v1alpha1); "
            "install KEDA, or set `autoscaler.keda` to null",
        ),
        (
            staging(),
            "metrics.k8s.io/v1beta1",
            "the cluster has no PodMetrics (metrics.k8s.io/v1beta1); "
            "install metrics-server, without which the number of pods cannot follow the load",
        ),
        (
            staging(),
            "policy/v1",
            "the cluster has no PodDisruptionBudget (policy/v1); the manifests need Kubernetes 1.30 or newer",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and "/" in value[:30] else "",
)
def test_a_kind_that_the_cluster_lacks_is_refused(
    cluster: Cluster, environment: Environment, api_version: str, sentence: str
) -> None:
    cluster.fails(f"get --raw /apis/{api_version}", NOT_SERVED)
    assert refusals(environment) == [sentence]


def test_keda_needs_no_metrics_server(cluster: Cluster) -> None:
    cluster.fails("get --raw /apis/metrics.k8s.io", NOT_SERVED)
    preflight.check(production(**KEDA))


SECRET = f"get Secret text-classifier-tls --namespace {STAGING} "


def test_an_ingress_without_its_class_and_its_certificate_is_refused(cluster: Cluster) -> None:
    for absent in ("get IngressClass traefik ", SECRET, "get Namespace "):
        cluster.answers(absent, "")
    assert refusals(staging()) == [
        f"there is no Namespace {STAGING!r} (namespace); "
        f"`kubectl create namespace {STAGING} --save-config` creates it, so that it can have Secrets",
        "there is no Namespace 'traefik' (network policy); "
        "the environment must name the namespace of the pods that may connect",
        "there is no Namespace 'kube-system' (network policy); "
        "the environment must name the namespace of the pods that may connect",
        "there is no IngressClass 'traefik' (ingress.class_name); without it no controller lets requests in; "
        "install one, or `kubectl get ingressclass` lists those that the cluster has",
        f"there is no Secret 'text-classifier-tls' in namespace {STAGING!r} (ingress.tls_secret); "
        f"`kubectl create secret tls text-classifier-tls --namespace {STAGING} --cert=… --key=…` creates it",
    ]


def test_a_secret_without_a_certificate_is_refused(cluster: Cluster) -> None:
    cluster.answers(SECRET, "user\npassword\n")
    (sentence,) = refusals(staging())
    assert sentence.startswith(
        f"Secret 'text-classifier-tls' in namespace {STAGING!r} has no 'tls.crt' (ingress.tls_secret), "
        "only user, password; "
    )


def test_a_certificate_that_cert_manager_will_make_is_not_looked_up(cluster: Cluster) -> None:
    cluster.answers(SECRET, "")
    annotations = {"annotations": {"cert-manager.io/cluster-issuer": "letsencrypt"}}
    preflight.check(staging(ingress=annotations))


def test_only_the_keys_of_a_secret_are_read(cluster: Cluster) -> None:
    preflight.check(staging())
    (command,) = [line for line in cluster.log if line.startswith(SECRET)]
    assert "{{$key}}" in command
    assert "{{$value" not in command


GATEWAY = "get Gateway.gateway.networking.k8s.io public --namespace gateway "


def test_a_route_without_its_gateway_is_refused(cluster: Cluster) -> None:
    cluster.answers(GATEWAY, "")
    assert refusals(production()) == [
        "there is no Gateway 'public' in namespace 'gateway' (gateway); "
        "a listener of this name must be there and accept routes of other namespaces (allowedRoutes)"
    ]


def test_a_gateway_without_the_listener_is_refused(cluster: Cluster) -> None:
    cluster.answers(GATEWAY, "http\n")
    (sentence,) = refusals(production())
    assert sentence.startswith(
        "Gateway 'public' in namespace 'gateway' has no 'https' (gateway), only http; "
    )


@pytest.mark.parametrize(("gateway", "is_apart"), [("gateway", True), ("text-classifier-production", False)])
def test_listeners_count_that_accept_routes_of_the_namespace(
    cluster: Cluster, gateway: str, is_apart: bool
) -> None:
    preflight.check(production(gateway={"namespace": gateway}))
    (command,) = [line for line in cluster.log if "get Gateway" in line]
    assert ("allowedRoutes" in command) == is_apart


def test_a_missing_secret_with_api_keys_is_refused(cluster: Cluster) -> None:
    cluster.answers("get Secret mine ", "")
    assert refusals(staging(api_keys={"secret": "mine"})) == [
        f"there is no Secret 'mine' in namespace {STAGING!r} (api_keys); "
        f"`kubectl create secret generic mine --namespace {STAGING} --from-file=keys=…` creates it"
    ]


def test_a_secret_without_the_key_that_prometheus_sends_is_refused(cluster: Cluster) -> None:
    cluster.answers("get Secret prometheus-key ", "other\n")
    environment = production(
        api_keys={"secret": "mine"},
        config={"api": {"metrics_need_key": True}},
        pod_monitor={"api_key": {"secret": "prometheus-key", "key": "key"}},
    )
    (sentence,) = refusals(environment)
    assert "has no 'key' (pod_monitor.api_key), only other; `kubectl create secret generic" in sentence


def test_whatever_a_pod_refers_to_is_looked_up() -> None:
    spec = PodSpec(
        containers=[],
        imagePullSecrets=[LocalObjectReference(name="pull")],
        priorityClassName="high",
        runtimeClassName="nvidia",
    )
    found = {(need.kind, need.name, need.namespace) for need in preflight.needs_of_pods(spec, "mine")}
    assert found == {
        ("Secret", "pull", "mine"),
        ("PriorityClass", "high", None),
        ("RuntimeClass", "nvidia", None),
    }


def test_a_gpu_needs_its_runtime_class(cluster: Cluster) -> None:
    cluster.answers("get RuntimeClass nvidia ", "")
    (sentence,) = refusals(staging(gpu={"count": 1}))
    assert sentence.startswith("there is no RuntimeClass 'nvidia' (gpu.runtime_class); ")


def test_everything_is_refused_at_once(cluster: Cluster) -> None:
    cluster.fails("get --raw /apis/gateway.networking.k8s.io/v1", NOT_SERVED)
    cluster.fails("get --raw /apis/monitoring.coreos.com/v1", NOT_SERVED)
    cluster.fails(GATEWAY, 'error: the server doesn\'t have a resource type "gateway"')
    assert [sentence.partition(" (")[0] for sentence in refusals(load_environment("production"))][1:] == [
        "the cluster has no HTTPRoute",
        "the cluster has no PodMonitor",
        "the cluster has no PrometheusRule",
        "there is no Gateway 'public' in namespace 'gateway'",
    ]


def test_what_may_not_be_read_is_said_and_not_refused(
    cluster: Cluster, capfd: pytest.CaptureFixture[str]
) -> None:
    cluster.fails("get IngressClass", "Error from server (Forbidden): no classes")
    cluster.fails("get --raw /apis/metrics.k8s.io", "Error from server (ServiceUnavailable): unavailable")
    preflight.check(staging())
    assert capfd.readouterr().err.splitlines() == [
        "not checked: whether the cluster has metrics.k8s.io/v1beta1: "
        "Error from server (ServiceUnavailable): unavailable",
        "not checked: IngressClass 'traefik' (ingress.class_name): Error from server (Forbidden): no classes",
    ]


# Objects of other people


ANOTHER_SERVICE = {"name": "text-classifier", "labels": {"app": "text-classifier"}}
IN_THE_WAY = (
    f"there is another {{}} in namespace {STAGING!r}, without the label "
    "app.kubernetes.io/name=text-classifier of this environment; "
    f"`kubectl delete {{}} --namespace {STAGING}` deletes it if nobody needs it"
)


def test_every_object_with_the_name_of_a_rendered_one_and_without_its_labels_is_refused(
    cluster: Cluster,
) -> None:
    cluster.answers("get services/text-classifier ", json.dumps(ANOTHER_SERVICE))
    cluster.answers("get ingresses.networking.k8s.io/text-classifier ", '{"name": "text-classifier"}')
    assert refusals(staging()) == [
        IN_THE_WAY.format("Service 'text-classifier'", "services/text-classifier"),
        IN_THE_WAY.format("Ingress 'text-classifier'", "ingresses.networking.k8s.io/text-classifier"),
    ]


def test_an_object_of_another_instance_is_refused(cluster: Cluster) -> None:
    labels = object_labels(staging()) | {"app.kubernetes.io/instance": "mine"}
    cluster.answers("get services/text-classifier ", json.dumps({"labels": labels}))
    (sentence,) = refusals(staging())
    assert "without the label app.kubernetes.io/instance=text-classifier of this environment" in sentence


def test_objects_of_an_earlier_deployment_are_accepted_whatever_labels_the_environment_added(
    cluster: Cluster,
) -> None:
    labels = object_labels(staging()) | {"team": "search"}
    for each in objects(staging()):
        cluster.answers(f"/{each.metadata and each.metadata.name} ", json.dumps({"labels": labels}))
    preflight.check(staging(labels={"team": "ranking"}))


def test_a_namespace_that_was_created_by_hand_is_accepted(cluster: Cluster) -> None:
    cluster.answers(f"/{STAGING} ", json.dumps({"name": STAGING}))
    preflight.check(staging())


def test_an_object_that_may_not_be_read_is_said_and_a_kind_that_is_lacking_is_refused_once(
    cluster: Cluster, capfd: pytest.CaptureFixture[str]
) -> None:
    cluster.fails("get services/", "Error from server (Forbidden): no services")
    cluster.fails("get --raw /apis/monitoring.coreos.com/v1", NOT_SERVED)
    cluster.fails("get podmonitors", 'error: the server doesn\'t have a resource type "podmonitors"')
    (sentence,) = refusals(production(pod_monitor={"rules": False}))
    assert sentence.startswith("the cluster has no PodMonitor ")
    assert capfd.readouterr().err == (
        "not checked: whether there is another Service 'text-classifier': "
        "Error from server (Forbidden): no services\n"
    )


def test_every_rendered_kind_is_looked_up() -> None:
    rendered = objects(production())
    found = preflight.kinds(rendered)
    assert {type(each).__name__ for each in rendered} | {"PodMetrics"} == set().union(*found.values())
