"""What would make a deployment fail, looked up before anything is applied."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from lightkube.core.resource import api_info
from lightkube.models.core_v1 import PodSpec
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.autoscaling_v2 import HorizontalPodAutoscaler
from lightkube.resources.core_v1 import Namespace
from lightkube.resources.networking_v1 import Ingress, NetworkPolicy

from k8s import kubectl
from k8s.environment.sections import Environment, GatewaySettings
from k8s.errors import DeploymentError, UnknownKind
from k8s.objects.assembly import Object, objects
from k8s.objects.labels import OWN_LABELS

PROVIDERS = {
    "gateway.networking.k8s.io": "install Gateway API and a controller for it, or set `gateway` to null",
    "keda.sh": "install KEDA, or set `autoscaler.keda` to null",
    "metrics.k8s.io": "install metrics-server, without which the number of pods cannot follow the load",
    "monitoring.coreos.com": "install the Prometheus operator, or set `pod_monitor` to null",
}
"""What to do if a cluster lacks the kinds of a group. Every other group is a part of Kubernetes."""
KUBERNETES = "the manifests need Kubernetes 1.30 or newer"
METRICS_API, POD_METRICS = "metrics.k8s.io/v1beta1", "PodMetrics"
"""What an autoscaler reads. No manifest creates it."""
CERT_MANAGER = "cert-manager.io/"
"""Prefix of the annotations that make cert-manager create the Secret of an Ingress."""
NAMESPACE_NAME = "kubernetes.io/metadata.name"
TLS_KEY = "tls.crt"
NO_DIGEST = "sha256:" + 64 * "0"

_LISTS = "`kubectl get {}` lists those that the cluster has"

_NAME = "{{.metadata.name}}"
_KEYS = '{{range $key, $value := .data}}{{$key}}{{"\\n"}}{{end}}'
"""The keys of a Secret, without their values."""
_LISTENERS = '{{range .spec.listeners}}{{.name}}{{"\\n"}}{{end}}'
_OPEN_LISTENERS = (
    "{{range .spec.listeners}}{{$name := .name}}{{with .allowedRoutes}}{{with .namespaces}}"
    '{{if ne .from "Same"}}{{$name}}{{"\\n"}}{{end}}{{end}}{{end}}{{end}}'
)
"""The listeners of a Gateway that accept routes of other namespaces than its own."""


@dataclass(frozen=True)
class Need:
    """An object that the cluster must have already, because no manifest creates it."""

    setting: str
    """The setting that names the object."""
    kind: str
    """As kubectl names it; with its group if other groups have a kind of this name."""
    name: str
    remedy: str
    namespace: str | None = None
    part: str | None = None
    """A key or a listener that the object must have."""
    parts: str = _NAME
    """Go template that lists what the object has, one in each line."""

    def __str__(self) -> str:
        where = f" in namespace {self.namespace!r}" if self.namespace else ""
        return f"{self.kind.partition('.')[0]} {self.name!r}{where}"


def check(environment: Environment) -> None:
    """Raise DeploymentError with a sentence for each thing that the cluster lacks or that is in the way.

    What cannot be looked up, for example because it is forbidden, is printed and not refused.
    """
    refusals = [
        *_impossible_images(environment),
        *_missing_kinds(kinds(objects(environment))),
        *_missing_objects(needs(environment)),
        *_foreign_objects(environment),
    ]
    if refusals:
        listed = "".join(f"\n- {refusal}" for refusal in refusals)
        raise DeploymentError(f"{environment.namespace} cannot be deployed; nothing was applied:{listed}")


def kinds(rendered: Iterable[Object]) -> dict[str, set[str]]:
    """The kinds that the cluster must know, by the version of their API."""
    found: dict[str, set[str]] = defaultdict(set)
    for each in rendered:
        resource = api_info(each).resource
        found[resource.api_version].add(resource.kind)
        if isinstance(each, HorizontalPodAutoscaler):
            found[METRICS_API].add(POD_METRICS)
    return found


def needs(environment: Environment) -> list[Need]:
    """The objects that the environment refers to and does not contain."""
    rendered, namespace = objects(environment), environment.namespace
    found: list[Need] = []
    for each in rendered:
        if isinstance(each, Deployment) and each.spec and each.spec.template.spec:
            found.extend(needs_of_pods(each.spec.template.spec, namespace))
        elif isinstance(each, Ingress):
            found.extend(_of_ingress(each, namespace))
        elif isinstance(each, NetworkPolicy):
            found.extend(_of_policy(each))
    if environment.gateway:
        found.append(_of_route(environment.gateway, namespace))
    if environment.pod_monitor and environment.pod_monitor.api_key:
        key = environment.pod_monitor.api_key
        found.append(_secret("pod_monitor.api_key", key.secret, namespace, "--from-literal", key.key))
    is_rendered = any(isinstance(each, Namespace) for each in rendered)
    if not is_rendered or any(need.namespace == namespace for need in found):
        remedy = (
            f"`kubectl create namespace {namespace} --save-config` creates it, so that it can have Secrets"
        )
        found.insert(0, Need("namespace", "Namespace", namespace, remedy))
    return list(dict.fromkeys(found))


def needs_of_pods(spec: PodSpec, namespace: str) -> Iterator[Need]:
    """The objects that pods with this specification cannot start without."""
    for volume in spec.volumes or ():
        if volume.secret and volume.secret.secretName:
            for item in volume.secret.items or ():
                yield _secret("api_keys", volume.secret.secretName, namespace, "--from-file", item.key)
    for container in spec.containers:
        for variable in container.env or ():
            key = variable.valueFrom and variable.valueFrom.secretKeyRef
            if key:
                yield _secret("ui.api_key", str(key.name), namespace, "--from-literal", key.key)
    for one in spec.imagePullSecrets or ():
        yield Need(
            "image.pull_secrets",
            "Secret",
            str(one.name),
            f"`kubectl create secret docker-registry {one.name} --namespace {namespace} …` creates it",
            namespace,
        )
    if spec.priorityClassName:
        yield Need(
            "pods.priority_class", "PriorityClass", spec.priorityClassName, _LISTS.format("priorityclass")
        )
    if spec.runtimeClassName:
        yield Need("gpu.runtime_class", "RuntimeClass", spec.runtimeClassName, _LISTS.format("runtimeclass"))


def _of_ingress(ingress: Ingress, namespace: str) -> Iterator[Need]:
    spec, annotations = ingress.spec, (ingress.metadata and ingress.metadata.annotations) or {}
    if spec and spec.ingressClassName:
        yield Need(
            "ingress.class_name",
            "IngressClass",
            spec.ingressClassName,
            "without it no controller lets requests in; install one, or " + _LISTS.format("ingressclass"),
        )
    if any(key.startswith(CERT_MANAGER) for key in annotations):
        return  # cert-manager creates the Secret after the Ingress.
    for tls in (spec and spec.tls) or ():
        if tls.secretName:
            yield Need(
                "ingress.tls_secret",
                "Secret",
                tls.secretName,
                f"`kubectl create secret tls {tls.secretName} --namespace {namespace} --cert=… --key=…` "
                "creates it",
                namespace,
                TLS_KEY,
                _KEYS,
            )


def _of_policy(policy: NetworkPolicy) -> Iterator[Need]:
    spec = policy.spec
    peers = [
        *(peer for rule in (spec and spec.ingress) or () for peer in rule.from_ or ()),
        *(peer for rule in (spec and spec.egress) or () for peer in rule.to or ()),
    ]
    for peer in peers:
        labels = (peer.namespaceSelector and peer.namespaceSelector.matchLabels) or {}
        if NAMESPACE_NAME in labels:
            yield Need(
                "network policy",
                "Namespace",
                labels[NAMESPACE_NAME],
                "the environment must name the namespace of the pods that may connect",
            )


def _of_route(gateway: GatewaySettings, namespace: str) -> Need:
    is_apart = gateway.namespace != namespace
    return Need(
        "gateway",
        "Gateway.gateway.networking.k8s.io",
        gateway.name,
        "a listener of this name must be there"
        + (" and accept routes of other namespaces (allowedRoutes)" if is_apart else ""),
        gateway.namespace,
        gateway.listener,
        _OPEN_LISTENERS if is_apart else _LISTENERS,
    )


def _secret(setting: str, name: str, namespace: str, option: str, key: str) -> Need:
    command = f"kubectl create secret generic {name} --namespace {namespace} {option}={key}"
    return Need(setting, "Secret", name, f"`{command}=…` creates it", namespace, key, _KEYS)


def _impossible_images(environment: Environment) -> Iterator[str]:
    for image in environment.images:
        if image.version.digest == NO_DIGEST:
            yield f"the image is {str(image)!r}, whose digest no image has; IMAGE must name the pushed image"


def _missing_kinds(needed: Mapping[str, set[str]]) -> Iterator[str]:
    for api_version, names in needed.items():
        try:
            listed = json.loads(kubectl.read("get", "--raw", _api_path(api_version)))["resources"]
        except UnknownKind:
            listed = []
        except DeploymentError as error:
            kubectl.say(f"not checked: whether the cluster has {api_version}: {error}")
            continue
        for name in sorted(names - {one["kind"] for one in listed}):
            remedy = PROVIDERS.get(api_version.partition("/")[0], KUBERNETES)
            yield f"the cluster has no {name} ({api_version}); {remedy}"


def _api_path(api_version: str) -> str:
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"


def _missing_objects(needed: Iterable[Need]) -> Iterator[str]:
    for need in needed:
        in_namespace = ("--namespace", need.namespace) if need.namespace else ()
        template = f"go-template={need.parts}"
        try:
            output = kubectl.read(
                "get", need.kind, need.name, *in_namespace, "--ignore-not-found", "--output", template
            )
        except UnknownKind:
            output = ""
        except DeploymentError as error:
            kubectl.say(f"not checked: {need} ({need.setting}): {error}")
            continue
        yield from _complaints(need, output.splitlines())


def _complaints(need: Need, found: Sequence[str]) -> Iterator[str]:
    if not found:
        yield f"there is no {need} ({need.setting}); {need.remedy}"
    elif need.part is not None and need.part not in found:
        yield f"{need} has no {need.part!r} ({need.setting}), only {', '.join(found)}; {need.remedy}"


def _foreign_objects(environment: Environment) -> Iterator[str]:
    """The live objects with the name of a rendered one that no deployment of the environment created.

    `kubectl apply` would merge the two: a Service would need the labels of both selectors, and reach no pod.
    A Namespace may be created by hand, so that it can have Secrets.
    """
    namespace = environment.namespace
    for each in objects(environment):
        if isinstance(each, Namespace) or not each.metadata:
            continue
        named = f"{api_info(each).resource.kind} {each.metadata.name!r}"
        target = f"{kubectl.resource(type(each))}/{each.metadata.name}"
        only_metadata = ("--ignore-not-found", "--output", "jsonpath={.metadata}")
        try:
            output = kubectl.read("get", target, "--namespace", namespace, *only_metadata)
        except UnknownKind:
            continue  # `_missing_kinds` says so.
        except DeploymentError as error:
            kubectl.say(f"not checked: whether there is another {named}: {error}")
            continue
        if not output:
            continue
        ours, labels = each.metadata.labels or {}, json.loads(output).get("labels", {})
        absent = [
            f"{key}={value}"
            for key, value in ours.items()
            if key.startswith(OWN_LABELS) and labels.get(key) != value
        ]
        if absent:
            yield (
                f"there is another {named} in namespace {namespace!r}, without the label {absent[0]} "
                "of this environment; "
                f"`kubectl delete {target} --namespace {namespace}` deletes it if nobody needs it"
            )
