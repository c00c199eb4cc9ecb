"""The rules between the values of an environment."""

import math
from collections.abc import Iterator

from classifier.validation import say_nearest
from k8s.environment.canary import canary_pods
from k8s.environment.sections import Environment, Resources
from k8s.environment.values import amount

IMAGE_HOST = "0.0.0.0"  # noqa: S104
"""The value of CLASSIFIER__API__HOST in the image (bentofile.yaml), which overrides the configuration."""


def needed_grace_seconds(environment: Environment) -> int:
    """Seconds that a pod needs at most to terminate."""
    shutdown, config = environment.shutdown, environment.config
    service_seconds = config.api.lame_duck_seconds + config.batching.drain_seconds
    return shutdown.pre_stop_seconds + math.ceil(service_seconds) + shutdown.margin_seconds


def broken_rules(environment: Environment) -> Iterator[str]:
    """One sentence for each rule that the environment breaks."""
    for rule in _RULES:
        yield from rule(environment)


def _image(environment: Environment) -> Iterator[str]:
    named = [("the image", image) for image in environment.images]
    if environment.ui:
        named.append(("ui.image", environment.ui.image))
    for name, image in named:
        if environment.image.by_digest and image.version.digest is None:
            yield f"{name} is {str(image)!r}; it must be repository@sha256:digest (image.by_digest)"


def _model(environment: Environment) -> Iterator[str]:
    if environment.release is None:
        return
    contained, asked = environment.release.model, environment.config.model
    if asked.tag not in (contained, f"{contained.partition(':')[0]}:latest"):
        yield (
            f"config.model is {asked.tag!r}, and the image contains {contained!r} (release.model); "
            "both must be the same model"
        )


def _resources(environment: Environment) -> Iterator[str]:
    yield from _amounts("resources", environment.resources)


def _amounts(key: str, resources: Resources) -> Iterator[str]:
    limits = dict(resources.limits)
    for resource, request in resources.requests:
        if amount(request) > amount(limits[resource]):
            yield (
                f"{key}.requests.{resource} is {request!r}; "
                f"it must be at most {key}.limits.{resource}, {limits[resource]!r}"
            )
    if amount(resources.temporary) > amount(limits["ephemeral_storage"]):
        yield (
            f"{key}.temporary is {resources.temporary!r}; "
            f"it must be at most {key}.limits.ephemeral_storage, {limits['ephemeral_storage']!r}"
        )


def _rollout(environment: Environment) -> Iterator[str]:
    rollout, startup = environment.rollout, environment.probes.startup
    start_seconds = startup.initial_delay_seconds + startup.period_seconds * startup.failures
    needed = start_seconds + rollout.min_ready_seconds
    if rollout.progress_deadline_seconds <= needed:
        yield (
            f"rollout.progress_deadline_seconds is {rollout.progress_deadline_seconds}; "
            f"it must be above {needed}, the seconds that a pod may take to start and to count as ready"
        )


def _shutdown(environment: Environment) -> Iterator[str]:
    shutdown, config = environment.shutdown, environment.config
    needed = needed_grace_seconds(environment)
    if shutdown.grace_seconds < needed:
        yield (
            f"shutdown.grace_seconds is {shutdown.grace_seconds}; it must be at least {needed}: "
            f"pre_stop_seconds {shutdown.pre_stop_seconds}, "
            f"config.api.lame_duck_seconds {config.api.lame_duck_seconds:g}, "
            f"config.batching.drain_seconds {config.batching.drain_seconds:g} "
            f"and margin_seconds {shutdown.margin_seconds}"
        )


def _liveness(environment: Environment) -> Iterator[str]:
    liveness, worker = environment.probes.liveness, environment.config.worker
    # The first probe can fail at once, because the worker's connections are refused while it is replaced.
    seconds = liveness.period_seconds * (liveness.failures - 1)
    if seconds <= worker.max_silent_seconds:
        yield (
            f"probes.liveness can fail {liveness.failures} times within {seconds} s; this must take "
            f"longer than config.worker.max_silent_seconds, {worker.max_silent_seconds:g}, "
            "or the container is killed before the service replaces a worker that hangs"
        )
    if liveness.timeout_seconds > liveness.period_seconds:
        yield (
            f"probes.liveness.timeout_seconds is {liveness.timeout_seconds}; it must be at most "
            f"period_seconds, {liveness.period_seconds}, or a container that hangs is noticed too late"
        )


def _autoscaler(environment: Environment) -> Iterator[str]:
    autoscaler = environment.autoscaler
    if autoscaler.min_pods > autoscaler.max_pods:
        yield (
            f"autoscaler.min_pods is {autoscaler.min_pods}; "
            f"it must be at most autoscaler.max_pods, {autoscaler.max_pods}"
        )
    if autoscaler.profile not in autoscaler.profiles:
        close = say_nearest(autoscaler.profile, autoscaler.profiles)
        yield f"autoscaler.profile is {autoscaler.profile!r}; it must be in autoscaler.profiles, and {close}"


def _node_port(environment: Environment) -> Iterator[str]:
    service = environment.service
    if service.node_port is not None and service.type != "NodePort":
        yield (
            f"service.node_port is {service.node_port}; it must be null if service.type is {service.type!r}"
        )


def _entry_points(environment: Environment) -> Iterator[str]:
    for key, entry_point in environment.entry_points.items():
        sources = entry_point.sources
        if sources.namespace is None and not sources.ranges:
            yield (
                f"{key}.sources is empty; it must name the namespace of the pods that send the requests, or "
                "ranges of addresses, because the network policy refuses every other source"
            )
    if environment.ingress and environment.gateway:
        yield (
            f"ingress is for {environment.ingress.host!r} and gateway for {environment.gateway.host!r}; "
            "one of them must be null, or a canary would not receive its share of the requests"
        )


def _keys(environment: Environment) -> Iterator[str]:
    api, monitor = environment.config.api, environment.pod_monitor
    if api.keys_file:
        yield (
            f"config.api.keys_file is {api.keys_file!r}; it must be empty, "
            "because a pod reads its keys from the Secret that api_keys names"
        )
    if api.metrics_need_key and not environment.api_keys:
        yield "config.api.metrics_need_key is true; it needs api_keys, which names the Secret with the hashes"
    scrapes_with_key = bool(monitor and monitor.api_key)
    if monitor and scrapes_with_key != api.metrics_need_key:
        yield (
            f"config.api.metrics_need_key is {str(api.metrics_need_key).lower()} and pod_monitor.api_key is "
            f"{'given' if scrapes_with_key else 'not given'}; "
            "Prometheus must send a key exactly if the metrics need one"
        )


def _host(environment: Environment) -> Iterator[str]:
    host = environment.config.api.host
    if host != IMAGE_HOST:
        yield (
            f"config.api.host is {host!r}; it must be {IMAGE_HOST!r}, where the server in the image listens "
            "whatever the configuration says"
        )


def _allowed_hosts(environment: Environment) -> Iterator[str]:
    hosts = environment.config.api.allowed_hosts
    if not hosts:
        return
    for key, entry_point in environment.entry_points.items():
        if entry_point.host not in map(str.lower, hosts):
            yield f"{key}.host is {entry_point.host!r}; it must be one of config.api.allowed_hosts"
    if environment.pod_monitor:
        yield (
            "config.api.allowed_hosts and pod_monitor are both given; one of them must be empty, "
            "because Prometheus scrapes each pod by its address, which is not an allowed host"
        )


def _ui(environment: Environment) -> Iterator[str]:
    ui = environment.ui
    if ui is None:
        return
    yield from _amounts("ui.resources", ui.resources)
    temporary, limit = ui.resources.temporary, ui.resources.limits.ephemeral_storage
    if amount(ui.jobs) + amount(temporary) > amount(limit):
        yield (
            f"ui.jobs is {ui.jobs!r} and ui.resources.temporary {temporary!r}; together they must be at most "
            f"ui.resources.limits.ephemeral_storage, {limit!r}, or the pod is evicted before jobs are refused"
        )
    if environment.api_keys and not ui.api_key:
        yield (
            "api_keys is given and ui.api_key is null; it must name the Secret with the key that the web "
            "client sends, as in {secret: text-classifier-ui-key}"
        )
    allowed = environment.config.api.allowed_hosts
    if allowed and environment.service_host not in map(str.lower, allowed):
        yield (
            f"ui is given and config.api.allowed_hosts is {list(allowed)}; it must contain "
            f"{environment.service_host!r}, the name by which the web client reaches the service"
        )
    yield from _ui_host(environment, ui.host)


def _ui_host(environment: Environment, host: str | None) -> Iterator[str]:
    if host and not environment.entry_points:
        yield f"ui.host is {host!r}; it needs ingress or gateway, whose controller the web client shares"
    for key, entry_point in environment.entry_points.items():
        if host == entry_point.host:
            yield f"ui.host is {host!r}; it must differ from {key}.host, whose paths are those of the API"


def _tracing(environment: Environment) -> Iterator[str]:
    tracing, endpoint = environment.tracing, environment.config.tracing.endpoint
    if tracing and not endpoint:
        yield (
            "tracing is given and config.tracing.endpoint is empty; "
            "it must be the address of the collector, such as http://collector.monitoring:4318"
        )
    if endpoint and not tracing:
        yield (
            f"config.tracing.endpoint is {endpoint!r} and tracing is null; it must name the namespace and "
            "the port of the collector's pods, because the network policy drops the spans otherwise"
        )


def _canary(environment: Environment) -> Iterator[str]:
    canary, autoscaler, pods = environment.canary, environment.autoscaler, canary_pods(environment)
    if canary and canary.version == environment.image.reference.version:
        yield f"canary.version is {str(canary.version)[1:]!r}; it must differ from the version of the image"
    if canary and pods > autoscaler.max_pods:
        yield (
            f"canary.weight is {canary.weight}; with autoscaler.min_pods, {autoscaler.min_pods}, "
            f"it takes {pods} pods, and the most is autoscaler.max_pods, {autoscaler.max_pods}"
        )


_RULES = (
    _image,
    _model,
    _resources,
    _rollout,
    _shutdown,
    _liveness,
    _autoscaler,
    _node_port,
    _entry_points,
    _keys,
    _host,
    _allowed_hosts,
    _ui,
    _tracing,
    _canary,
)
