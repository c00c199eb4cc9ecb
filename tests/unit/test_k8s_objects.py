"""The objects of every environment: their references to each other, and their guarantees."""

import hashlib
import json
import re
from typing import Any

import pytest
import yaml
from lightkube.utils.quantity import parse_quantity

from classifier.settings import load_settings
from k8s.environment.loading import environment_names, load_environment
from k8s.environment.rules import needed_grace_seconds
from k8s.environment.sections import Environment
from k8s.errors import InvalidEnvironment
from k8s.rendering import render
from serving.routes import LIVEZ, METRICS, READYZ, ROUTES
from serving.telemetry import catalogue

RELEASE = {
    "version": "0123456789ab-cdef",
    "bento": "text-classifier:0123456789ab-cdef",
    "model": "imdb-sentiment:9656270195ba",
    "model_digest": "7" * 64,
    "commit": "0" * 40,
}

Object = dict[str, Any]


@pytest.fixture(scope="module", params=environment_names())
def environment(request: pytest.FixtureRequest) -> Environment:
    return load_environment(request.param)


@pytest.fixture(scope="module")
def objects(environment: Environment) -> dict[str, Object]:
    return rendered(environment)


def rendered(environment: Environment) -> dict[str, Object]:
    """The objects as Kubernetes reads them, by the stem of their file's name."""
    files = render(environment, "text-classifier manifests")
    return {name.removesuffix(".yaml"): yaml.safe_load(text) for name, text in files.items()}


def pod_of(deployment: Object) -> Object:
    return deployment["spec"]["template"]["spec"]


def container_of(deployment: Object) -> Object:
    (container,) = pod_of(deployment)["containers"]
    return container


def labels_of(each: Object) -> dict[str, str]:
    return each.get("metadata", {}).get("labels", {})


def labels_of_pods(deployment: Object) -> dict[str, str]:
    return deployment["spec"]["template"]["metadata"]["labels"]


# References between objects


def test_every_selector_matches_the_pods_labels(objects):
    pod, spec = pod_of(objects["deployment"]), objects["deployment"]["spec"]
    (apart,) = pod["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    selectors = [
        spec["selector"]["matchLabels"],
        objects["service"]["spec"]["selector"],
        objects["poddisruptionbudget"]["spec"]["selector"]["matchLabels"],
        objects["networkpolicy"]["spec"]["podSelector"]["matchLabels"],
        apart["podAffinityTerm"]["labelSelector"]["matchLabels"],
        *(spread["labelSelector"]["matchLabels"] for spread in pod["topologySpreadConstraints"]),
    ]
    for selector in selectors:
        assert selector.items() <= labels_of_pods(objects["deployment"]).items()


def test_every_object_that_refers_to_the_container_names_its_port(objects):
    container = container_of(objects["deployment"])
    (port,) = container["ports"]
    asked = [
        *(entry["targetPort"] for entry in objects["service"]["spec"]["ports"]),
        *(entry["port"] for rule in objects["networkpolicy"]["spec"]["ingress"] for entry in rule["ports"]),
        *(
            container[probe]["httpGet"]["port"]
            for probe in ("startupProbe", "livenessProbe", "readinessProbe")
        ),
    ]
    assert set(asked) == {port["name"]}


def test_the_containers_port_is_the_one_on_which_the_service_listens(environment, objects):
    (port,) = container_of(objects["deployment"])["ports"]
    assert port["containerPort"] == environment.config.api.port
    assert environment.config.api.host == "0.0.0.0"  # noqa: S104


def test_an_ingress_terminates_tls_and_routes_to_the_port_of_the_service():
    objects = rendered(load_environment("staging"))
    service, spec = objects["service"], objects["ingress"]["spec"]
    (rule,) = spec["rules"]
    (port,) = service["spec"]["ports"]
    for path in rule["http"]["paths"]:
        assert path["backend"]["service"] == {
            "name": service["metadata"]["name"],
            "port": {"name": port["name"]},
        }
    assert spec["tls"] == [{"hosts": [rule["host"]], "secretName": "text-classifier-tls"}]


def test_a_route_connects_the_gateways_tls_listener_to_the_port_of_the_service():
    objects = rendered(load_environment("production"))
    service, spec = objects["service"], objects["httproute"]["spec"]
    (port,) = service["spec"]["ports"]
    for rule in spec["rules"]:
        assert rule["backendRefs"] == [{"name": service["metadata"]["name"], "port": port["port"]}]
    assert spec["parentRefs"] == [{"name": "public", "namespace": "gateway", "sectionName": "https"}]


def test_no_rule_has_more_matches_than_every_gateway_supports():
    everything = load_environment("production", {"gateway": {"docs": True, "bentoml_clients": True}})
    rules = rendered(everything)["httproute"]["spec"]["rules"]
    assert len(rules) <= 16
    assert all(len(rule["matches"]) <= 8 for rule in rules)


def test_the_autoscaler_names_the_deployment_and_its_container(objects):
    spec, deployment = objects["horizontalpodautoscaler"]["spec"], objects["deployment"]
    assert spec["scaleTargetRef"] == {
        "apiVersion": deployment["apiVersion"],
        "kind": deployment["kind"],
        "name": deployment["metadata"]["name"],
    }
    assert {metric["containerResource"]["container"] for metric in spec["metrics"]} == {
        container_of(deployment)["name"]
    }


def test_the_pods_use_the_rendered_account_and_config_map(objects):
    pod = pod_of(objects["deployment"])
    assert pod["serviceAccountName"] == objects["serviceaccount"]["metadata"]["name"]
    maps = [volume["configMap"]["name"] for volume in pod["volumes"] if "configMap" in volume]
    assert maps == [objects["configmap"]["metadata"]["name"]]


def test_every_namespaced_object_is_in_the_environments_namespace(environment, objects):
    assert objects["namespace"]["metadata"]["name"] == environment.namespace
    others = objects.keys() - {"namespace", "kustomization"}
    assert {objects[name]["metadata"]["namespace"] for name in others} == {environment.namespace}


def test_no_two_environments_share_a_namespace():
    namespaces = [load_environment(name).namespace for name in environment_names()]
    assert len(set(namespaces)) == len(namespaces)


def test_every_label_is_valid_in_kubernetes(objects):
    labels = [each["metadata"]["labels"] for name, each in objects.items() if name != "kustomization"]
    for value in {
        value for group in (*labels, labels_of_pods(objects["deployment"])) for value in group.values()
    }:
        assert re.fullmatch(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?", value)


# The pods


def test_the_probes_request_routes_that_the_service_has(objects):
    container = container_of(objects["deployment"])
    paths = [container[f"{probe}Probe"]["httpGet"]["path"] for probe in ("startup", "liveness", "readiness")]
    assert set(paths) <= {route.path for route in ROUTES if route.method == "GET"}
    assert paths == [LIVEZ.path, LIVEZ.path, READYZ.path]


def test_the_startup_probe_allows_more_time_than_the_liveness_probe(objects):
    container = container_of(objects["deployment"])
    startup, liveness = container["startupProbe"], container["livenessProbe"]
    assert startup["periodSeconds"] < liveness["periodSeconds"]
    assert startup["failureThreshold"] > liveness["failureThreshold"]


def test_a_container_that_fails_its_liveness_probe_has_less_time_to_stop_than_a_terminated_one(objects):
    deployment = objects["deployment"]
    grace = container_of(deployment)["livenessProbe"]["terminationGracePeriodSeconds"]
    assert grace < pod_of(deployment)["terminationGracePeriodSeconds"]


def test_the_service_replaces_a_hanging_worker_before_the_liveness_probe_fails(environment, objects):
    liveness = container_of(objects["deployment"])["livenessProbe"]
    shortest_silence = liveness["periodSeconds"] * (liveness["failureThreshold"] - 1)
    assert shortest_silence > environment.config.worker.max_silent_seconds


def test_a_container_that_hangs_is_killed_within_twenty_seconds(objects):
    liveness = container_of(objects["deployment"])["livenessProbe"]
    longest_silence = liveness["periodSeconds"] * liveness["failureThreshold"] + liveness["timeoutSeconds"]
    assert longest_silence + liveness["terminationGracePeriodSeconds"] < 20


def test_no_resource_request_is_above_its_limit(objects):
    resources = container_of(objects["deployment"])["resources"]
    assert (
        resources["requests"].keys() == resources["limits"].keys() == {"cpu", "memory", "ephemeral-storage"}
    )
    for resource, request in resources["requests"].items():
        assert parse_quantity(request) <= parse_quantity(resources["limits"][resource])


def test_the_only_writable_volume_is_bounded(objects):
    container, pod = container_of(objects["deployment"]), pod_of(objects["deployment"])
    writable = [mount for mount in container["volumeMounts"] if not mount.get("readOnly")]
    assert [mount["mountPath"] for mount in writable] == ["/tmp"]  # noqa: S108
    (volume,) = [volume for volume in pod["volumes"] if volume["name"] == writable[0]["name"]]
    limit = container["resources"]["limits"]["ephemeral-storage"]
    assert parse_quantity(volume["emptyDir"]["sizeLimit"]) <= parse_quantity(limit)


def test_a_pod_has_time_for_every_step_of_its_termination(environment, objects):
    deployment = objects["deployment"]
    config = environment.config
    steps = [
        container_of(deployment)["lifecycle"]["preStop"]["sleep"]["seconds"],
        config.api.lame_duck_seconds,
        config.batching.drain_seconds,
    ]
    assert all(step > 0 for step in steps)
    assert (
        sum(steps) < needed_grace_seconds(environment) <= pod_of(deployment)["terminationGracePeriodSeconds"]
    )


@pytest.mark.parametrize(
    ("lame_duck", "drain", "service_seconds"),
    [(0, 0, 0), (0, 0.1, 1), (0.4, 0.4, 1), (0.6, 0.6, 2), (5, 20, 25)],
)
def test_the_termination_time_is_rounded_up_to_whole_seconds(lame_duck, drain, service_seconds):
    over = {"api": {"lame_duck_seconds": lame_duck}, "batching": {"drain_seconds": drain}}
    environment = load_environment("local", {"config": over})
    shutdown = environment.shutdown
    assert needed_grace_seconds(environment) == (
        shutdown.pre_stop_seconds + service_seconds + shutdown.margin_seconds
    )


def test_pods_meet_the_restricted_pod_security_standard(objects):
    pod = pod_of(objects["deployment"])
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 10_000
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "privileged": False,
        "readOnlyRootFilesystem": True,
    }
    assert not pod.keys() & {"hostNetwork", "hostPID", "hostIPC"}


def test_the_namespace_admits_only_restricted_pods(objects):
    labels = objects["namespace"]["metadata"]["labels"]
    modes = {mode: labels[f"pod-security.kubernetes.io/{mode}"] for mode in ("enforce", "audit", "warn")}
    assert set(modes.values()) == {"restricted"}


def test_no_pod_has_a_token_or_variables_of_other_services(objects):
    pod = pod_of(objects["deployment"])
    assert pod["automountServiceAccountToken"] is False
    assert objects["serviceaccount"]["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False


def test_the_pods_run_the_images_own_entry_point(objects):
    assert not container_of(objects["deployment"]).keys() & {"command", "args"}


def test_the_labels_of_pods_name_their_version_and_model():
    template = rendered(load_environment("local", {"release": RELEASE}))["deployment"]["spec"]["template"]
    assert template["metadata"]["labels"]["app.kubernetes.io/version"] == "0123456789ab-cdef"
    assert template["metadata"]["labels"]["text-classifier/model-version"] == "9656270195ba"
    annotations = template["metadata"]["annotations"]
    assert annotations.pop("text-classifier/config-sha256")
    assert annotations == {
        "text-classifier/bento": RELEASE["bento"],
        "text-classifier/commit": RELEASE["commit"],
        "text-classifier/model": RELEASE["model"],
        "text-classifier/model-digest": RELEASE["model_digest"],
    }


def test_no_object_says_what_an_image_contains_if_that_is_unknown(objects):
    template = objects["deployment"]["spec"]["template"]["metadata"]
    assert template["annotations"].keys() == {"text-classifier/config-sha256"}
    keys = {key for each in (*objects.values(), {"metadata": template}) for key in labels_of(each)}
    assert not [key for key in keys if "version" in key or "model" in key]


def test_only_pods_have_labels_that_another_version_changes():
    """`kubectl rollout undo` restores the labels of pods, and those of no other object."""
    one = rendered(load_environment("local", {"release": RELEASE}))
    other = rendered(load_environment("local", {"release": None, "image": {"reference": "a:2"}}))
    assert labels_of_pods(one["deployment"]) != labels_of_pods(other["deployment"])
    assert {name: labels_of(each) for name, each in one.items()} == {
        name: labels_of(each) for name, each in other.items()
    }


def test_the_image_is_named_in_one_field_of_the_deployment_and_for_people_in_its_change_cause():
    reference = f"registry.example.com/team/classifier@sha256:{'5' * 64}"
    overrides = {"image": {"reference": reference}, "release": RELEASE}
    deployment = rendered(load_environment("production", overrides))["deployment"]
    assert container_of(deployment)["image"] == reference
    assert json.dumps(deployment).count("5" * 64) == 1
    assert deployment["metadata"]["annotations"]["kubernetes.io/change-cause"].startswith(
        "classifier@sha256:555555555555, model imdb-sentiment:9656270195ba, config "
    )


def test_revisions_with_different_configurations_look_different():
    causes = {
        rendered(load_environment("local", {"config": {"inference": {"confidence_threshold": threshold}}}))[
            "deployment"
        ]["metadata"]["annotations"]["kubernetes.io/change-cause"]
        for threshold in (0.5, 0.75)
    }
    assert len(causes) == 2


@pytest.mark.parametrize(
    ("reference", "given", "policy"),
    [
        ("example.com/a:1", None, "Always"),
        (f"example.com/a@sha256:{'5' * 64}", None, "IfNotPresent"),
        (f"example.com/a:1@sha256:{'5' * 64}", None, "IfNotPresent"),
        ("example.com/a:1", "IfNotPresent", "IfNotPresent"),
        (f"example.com/a@sha256:{'5' * 64}", "Always", "Always"),
    ],
)
def test_a_node_asks_the_registry_only_for_what_can_have_changed(reference, given, policy):
    image = {"reference": reference, "pull_policy": given}
    deployment = rendered(load_environment("local", {"image": image}))["deployment"]
    assert container_of(deployment)["imagePullPolicy"] == policy
    annotations = deployment["metadata"]["annotations"]
    assert ("kube-score/ignore" in annotations) == (policy == "IfNotPresent")


# What a cluster's owner adds


def test_added_labels_are_on_every_object_and_pod_and_in_no_selector(environment):
    team = {"team": "search", "example.com/cost-center": "42"}
    plain = rendered(environment)
    labelled = rendered(environment.model_copy(update={"labels": team}))
    for name, each in labelled.items():
        if name != "kustomization":
            assert labels_of(each) == labels_of(plain[name]) | team
    assert labels_of_pods(labelled["deployment"]) == labels_of_pods(plain["deployment"]) | team
    selectors = (labelled["deployment"]["spec"]["selector"], labelled["service"]["spec"]["selector"])
    assert selectors == (plain["deployment"]["spec"]["selector"], plain["service"]["spec"]["selector"])


def test_no_label_that_the_manifests_set_can_be_replaced():
    objects = rendered(load_environment("production", {"release": RELEASE}))
    keys = {key for each in objects.values() for key in labels_of(each)}
    for key in keys | labels_of_pods(objects["deployment"]).keys():
        with pytest.raises(
            InvalidEnvironment, match=f"'{key}' cannot be added, because only the manifests set"
        ):
            load_environment("local", {"labels": {key: "1"}})
    assert load_environment("local", {"labels": {"tracking-id": "1"}}).labels == {"tracking-id": "1"}


def test_annotations_are_added_to_the_objects_that_they_are_given_for():
    objects = rendered(
        load_environment(
            "production",
            {
                "pods": {"annotations": {"example.com/pods": "1"}},
                "service": {"annotations": {"example.com/service": "1"}},
                "service_account": {"annotations": {"example.com/account": "1"}},
                "gateway": {"annotations": {"example.com/route": "1"}},
                "canary": {"version": f"sha256:{'5' * 64}", "weight": 10},
            },
        )
    )
    template = objects["deployment"]["spec"]["template"]
    assert template["metadata"]["annotations"]["example.com/pods"] == "1"
    found = {
        (name, key)
        for name, each in objects.items()
        for key in each.get("metadata", {}).get("annotations", {})
        if key.startswith("example.com/")
    }
    assert found == {
        ("service", "example.com/service"),
        ("service-canary", "example.com/service"),
        ("serviceaccount", "example.com/account"),
        ("httproute", "example.com/route"),
    }


def test_pods_have_the_given_pull_secrets_and_priority_class():
    overrides = {"image": {"pull_secrets": ["one", "two"]}, "pods": {"priority_class": "high"}}
    pod = pod_of(rendered(load_environment("local", overrides))["deployment"])
    assert pod["imagePullSecrets"] == [{"name": "one"}, {"name": "two"}]
    assert pod["priorityClassName"] == "high"


def test_pods_have_neither_unless_they_are_given(objects):
    assert not pod_of(objects["deployment"]).keys() & {"imagePullSecrets", "priorityClassName"}


def test_an_existing_namespace_is_used_and_not_created():
    plain = rendered(load_environment("local"))
    objects = rendered(load_environment("local", {"namespace": "shared", "create_namespace": False}))
    assert plain.keys() - objects.keys() == {"namespace"}
    assert objects["deployment"]["metadata"]["namespace"] == "shared"


def test_an_ingress_without_a_tls_secret_leaves_the_certificate_to_its_annotations():
    arn = {"alb.ingress.kubernetes.io/certificate-arn": "arn:aws:acm:eu-central-1:1:certificate/1"}
    overrides = {"ingress": {"tls_secret": None, "annotations": arn}}
    ingress = rendered(load_environment("staging", overrides))["ingress"]
    assert "tls" not in ingress["spec"]
    assert ingress["metadata"]["annotations"] == arn


# Rollouts


def test_a_rollout_never_has_fewer_pods_than_before(objects):
    strategy = objects["deployment"]["spec"]["strategy"]
    assert strategy == {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}


def test_the_deployment_leaves_the_number_of_pods_to_the_autoscaler(objects):
    assert "replicas" not in objects["deployment"]["spec"]


def test_the_disruption_budget_allows_one_eviction_at_the_minimum_number_of_pods(objects):
    min_pods = objects["horizontalpodautoscaler"]["spec"]["minReplicas"]
    allowed = objects["poddisruptionbudget"]["spec"]["maxUnavailable"]
    assert 1 <= allowed < min_pods


def test_the_bounds_of_the_autoscaler_are_in_order(objects):
    spec = objects["horizontalpodautoscaler"]["spec"]
    assert 2 <= spec["minReplicas"] <= spec["maxReplicas"]


def test_the_steady_profile_is_as_documented():
    spec = rendered(load_environment("production"))["horizontalpodautoscaler"]["spec"]
    assert (spec["minReplicas"], spec["maxReplicas"]) == (2, 10)
    targets = {
        metric["containerResource"]["name"]: metric["containerResource"]["target"]
        for metric in spec["metrics"]
    }
    assert targets == {
        "cpu": {"type": "Utilization", "averageUtilization": 70},
        "memory": {"type": "Utilization", "averageUtilization": 80},
    }
    assert spec["behavior"] == {
        "scaleUp": {
            "stabilizationWindowSeconds": 60,
            "selectPolicy": "Max",
            "policies": [
                {"type": "Percent", "value": 50, "periodSeconds": 60},
                {"type": "Pods", "value": 2, "periodSeconds": 60},
            ],
        },
        "scaleDown": {
            "stabilizationWindowSeconds": 300,
            "policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}],
        },
    }


def test_the_burst_profile_is_chosen_by_its_name():
    spec = rendered(load_environment("production", {"autoscaler": {"profile": "burst"}}))
    behavior = spec["horizontalpodautoscaler"]["spec"]["behavior"]
    assert behavior["scaleUp"]["stabilizationWindowSeconds"] == 0
    assert behavior["scaleDown"]["stabilizationWindowSeconds"] == 30


def test_keda_replaces_the_autoscaler_and_uses_a_metric_of_the_service():
    keda = {"prometheus": "http://prometheus.monitoring:9090", "requests_in_progress": 8}
    objects = rendered(load_environment("production", {"autoscaler": {"keda": keda}}))
    assert "horizontalpodautoscaler" not in objects
    spec = objects["scaledobject"]["spec"]
    assert spec["scaleTargetRef"]["name"] == objects["deployment"]["metadata"]["name"]
    assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == (2, 10)
    (trigger,) = spec["triggers"]
    assert trigger["metadata"]["threshold"] == "8"
    (metric,) = re.findall(r"classifier_\w+", trigger["metadata"]["query"])
    assert metric in {one.name for one in catalogue.METRICS}


def test_keda_counts_only_the_requests_of_the_pods_that_it_scales():
    keda = {"prometheus": "http://prometheus.monitoring:9090", "requests_in_progress": 8}
    objects = rendered(load_environment("production", {"autoscaler": {"keda": keda}}))
    (trigger,) = objects["scaledobject"]["spec"]["triggers"]
    label, value = re.findall(r'(track)="(\w+)"', trigger["metadata"]["query"])[0]
    assert label in objects["podmonitor"]["spec"]["podTargetLabels"]
    assert labels_of_pods(objects["deployment"])[label] == value


# The configuration


def test_the_services_own_settings_load_the_config_map(environment, objects, tmp_path, monkeypatch):
    monkeypatch.delenv("CLASSIFIER__API__PORT", raising=False)
    (content,) = objects["configmap"]["data"].values()
    path = tmp_path / "config.yaml"
    path.write_text(content)
    assert load_settings(path).model_dump() == environment.config.model_dump()


def test_the_config_map_is_named_after_its_content_and_never_changes(environment, objects):
    (content,) = objects["configmap"]["data"].values()
    digest = hashlib.sha256(content.encode()).hexdigest()
    assert objects["configmap"]["metadata"]["name"] == f"{environment.name}-{digest[:10]}"
    assert objects["configmap"]["immutable"] is True
    annotations = objects["deployment"]["spec"]["template"]["metadata"]["annotations"]
    assert annotations["text-classifier/config-sha256"] == digest


def test_another_configuration_gives_another_config_map_and_new_pods():
    one = rendered(load_environment("local"))
    other = rendered(load_environment("local", {"config": {"inference": {"confidence_threshold": 0.75}}}))
    assert one["configmap"]["metadata"]["name"] != other["configmap"]["metadata"]["name"]
    assert one["deployment"]["spec"]["template"] != other["deployment"]["spec"]["template"]


def test_the_container_reads_the_mounted_file(objects):
    container = container_of(objects["deployment"])
    (variable,) = container["env"]
    (mount,) = [mount for mount in container["volumeMounts"] if mount["name"] == "config"]
    (file,) = objects["configmap"]["data"]
    assert variable == {"name": "CLASSIFIER_CONFIG", "value": f"{mount['mountPath']}/{file}"}


def test_environment_variables_of_the_renderer_change_nothing(monkeypatch):
    before = render(load_environment("local"), "")
    monkeypatch.setenv("CLASSIFIER__API__PORT", "9000")
    assert render(load_environment("local"), "") == before


# API keys and host names

WITH_KEYS: Object = {"api_keys": {"secret": "text-classifier-keys"}, "ui": None}


def test_without_api_keys_no_pod_has_a_secret(objects):
    assert "secret" not in json.dumps(objects["deployment"]).lower()


@pytest.mark.parametrize("name", environment_names())
@pytest.mark.parametrize("key", ["keys", "keys-2026.txt"])
def test_the_service_reads_the_only_mounted_item_of_the_secret(name, key, tmp_path, monkeypatch):
    api_keys = {"secret": "text-classifier-keys", "key": key}
    objects = rendered(load_environment(name, {"api_keys": api_keys, "ui": None}))
    container, pod = container_of(objects["deployment"]), pod_of(objects["deployment"])
    (volume,) = [volume for volume in pod["volumes"] if "secret" in volume]
    (mount,) = [mount for mount in container["volumeMounts"] if mount["name"] == volume["name"]]
    assert mount["readOnly"] is True
    assert volume["secret"]["secretName"] == "text-classifier-keys"
    (item,) = volume["secret"]["items"]
    assert item["key"] == key
    config = tmp_path / "config.yaml"
    config.write_text(objects["configmap"]["data"]["config.yaml"], encoding="utf-8")
    for variable in container["env"]:
        monkeypatch.setenv(variable["name"], variable["value"])
    assert load_settings(config).api.keys_file == f"{mount['mountPath']}/{item['path']}"


def test_only_the_pods_user_can_read_the_keys_through_its_group():
    pod = pod_of(rendered(load_environment("local", WITH_KEYS))["deployment"])
    (volume,) = [volume for volume in pod["volumes"] if "secret" in volume]
    assert volume["secret"]["defaultMode"] == 0o440
    assert pod["securityContext"]["fsGroup"] == pod["securityContext"]["runAsGroup"]


def test_a_canary_reads_the_same_keys_as_the_stable_version():
    over = WITH_KEYS | {"canary": {"version": "2", "weight": 10}}
    objects = rendered(load_environment("local", over))
    canary, stable = objects["deployment-canary"], objects["deployment"]
    assert pod_of(canary)["volumes"] == pod_of(stable)["volumes"]
    assert container_of(canary)["env"] == container_of(stable)["env"]


def test_prometheus_sends_a_key_from_a_secret_if_the_metrics_need_one():
    over = WITH_KEYS | {
        "config": {"api": {"metrics_need_key": True}},
        "pod_monitor": {"api_key": {"secret": "prometheus-key", "key": "key"}},
    }
    spec = rendered(load_environment("production", over))["podmonitor"]["spec"]
    (endpoint,) = spec["podMetricsEndpoints"]
    assert endpoint["authorization"] == {
        "type": "Bearer",
        "credentials": {"name": "prometheus-key", "key": "key"},
    }


# The network


def sources_of_requests(objects: Object) -> list[Object]:
    """The sources of each rule of the network policy, in order."""
    return [rule["from"] for rule in objects["networkpolicy"]["spec"]["ingress"]]


def test_only_the_entry_point_prometheus_and_this_namespace_may_send_requests():
    assert sources_of_requests(rendered(load_environment("production"))) == [
        [{"podSelector": {}}],
        [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "gateway"}}}],
        [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}],
    ]


@pytest.mark.parametrize("namespace", [None, "gateway"])
def test_a_load_balancer_outside_the_cluster_is_admitted_by_its_addresses(namespace):
    sources = {"namespace": namespace, "ranges": ["130.211.0.0/22", "2600:2d00:1:b029::/64"]}
    rules = sources_of_requests(rendered(load_environment("production", {"gateway": {"sources": sources}})))
    assert [peer["ipBlock"]["cidr"] for peer in rules[1] if "ipBlock" in peer] == sources["ranges"]
    assert any("namespaceSelector" in peer for peer in rules[1]) == (namespace is not None)


@pytest.mark.parametrize("name", environment_names())
def test_with_a_node_port_requests_may_come_from_anywhere_but_only_to_the_http_port(name):
    service = {"type": "NodePort", "node_port": 30080}
    policy = rendered(load_environment(name, {"service": service}))["networkpolicy"]["spec"]
    assert policy["ingress"] == [{"ports": [{"port": "http", "protocol": "TCP"}]}]


@pytest.mark.parametrize("name", environment_names())
def test_without_a_node_port_every_source_of_requests_is_named(name):
    assert all(sources_of_requests(rendered(load_environment(name))))


def test_pods_may_send_traces_to_the_pods_of_their_collector():
    over = {
        "tracing": {"namespace": "tracing", "port": 4318},
        "config": {"tracing": {"endpoint": "http://collector.tracing"}},
    }
    policy = rendered(load_environment("production", over))["networkpolicy"]["spec"]
    _, traces = policy["egress"]
    assert traces == {
        "to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "tracing"}}}],
        "ports": [{"port": 4318, "protocol": "TCP"}],
    }


def test_pods_may_send_dns_queries_and_nothing_else(environment, objects):
    policy = objects["networkpolicy"]["spec"]
    assert set(policy["policyTypes"]) == {"Ingress", "Egress"}
    (rule,) = policy["egress"]
    (to,) = rule["to"]
    assert to["namespaceSelector"]["matchLabels"] == {
        "kubernetes.io/metadata.name": environment.dns_namespace
    }
    assert {(port["protocol"], port["port"]) for port in rule["ports"]} == {("UDP", 53), ("TCP", 53)}


def test_prometheus_scrapes_the_metrics_of_every_pod():
    objects = rendered(load_environment("production", {"release": RELEASE}))
    spec, deployment = objects["podmonitor"]["spec"], objects["deployment"]
    (endpoint,) = spec["podMetricsEndpoints"]
    (port,) = container_of(deployment)["ports"]
    assert (endpoint["path"], endpoint["port"]) == (METRICS.path, port["name"])
    assert spec["selector"]["matchLabels"].items() <= labels_of_pods(deployment).items()
    assert set(spec["podTargetLabels"]) <= labels_of_pods(deployment).keys()


def test_the_alerts_are_about_the_pods_that_the_pod_monitor_selects():
    """The operator names a PodMonitor's job by its namespace and name."""
    objects = rendered(load_environment("production"))
    monitor = objects["podmonitor"]["metadata"]
    expressions = [
        rule["expr"] for group in objects["prometheusrule"]["spec"]["groups"] for rule in group["rules"]
    ]
    jobs = {job for expression in expressions for job in re.findall(r'job="([^"]*)"', expression)}
    assert jobs == {f"{monitor['namespace']}/{monitor['name']}"}
    assert all('job="' in expression for expression in expressions)


def test_the_alert_about_memory_knows_the_limit_of_the_pods():
    objects = rendered(load_environment("production", {"resources": {"limits": {"memory": "3Gi"}}}))
    *_, alerts = objects["prometheusrule"]["spec"]["groups"]
    (memory,) = [rule for rule in alerts["rules"] if rule["alert"] == "TextClassifierMemory"]
    assert f"/ {3 * 1024**3})" in memory["expr"]


def test_the_dashboard_is_a_config_map_of_its_own_that_grafana_finds_by_its_label():
    over = {"pod_monitor": {"dashboard": True}}
    objects = rendered(load_environment("production", over))
    shown = objects["configmap-dashboard"]
    assert labels_of(shown)["grafana_dashboard"] == "1"
    (text,) = shown["data"].values()
    assert json.loads(text)["title"] == "Text classifier text-classifier-production/text-classifier"
    assert shown["metadata"]["name"] != objects["configmap"]["metadata"]["name"]
    assert "configmap-dashboard" not in rendered(load_environment("production"))


def test_the_dashboards_of_two_environments_do_not_replace_each_other():
    over = {"pod_monitor": {"dashboard": True, "prometheus_namespace": "monitoring", "every_seconds": 15}}
    files = {}
    for name in ("production", "staging"):
        files |= rendered(load_environment(name, over))["configmap-dashboard"]["data"]
    dashboards = [json.loads(text) for text in files.values()]
    assert len(dashboards) == 2
    for key in ("uid", "title"):
        assert len({made[key] for made in dashboards}) == 2
    assert all(len(made["uid"]) <= 40 for made in dashboards)
    jobs = [made["templating"]["list"][1]["current"]["value"] for made in dashboards]
    assert jobs == ["text-classifier-production/text-classifier", "text-classifier-staging/text-classifier"]


def test_the_alerts_have_the_address_of_the_published_page():
    over = {"pod_monitor": {"runbooks": "https://wiki.example.com/operations"}}
    *_, alerts = rendered(load_environment("production", over))["prometheusrule"]["spec"]["groups"]
    urls = {rule["annotations"]["runbook_url"].partition("#")[0] for rule in alerts["rules"]}
    assert urls == {"https://wiki.example.com/operations"}


def test_without_the_setting_there_are_no_rules():
    assert "prometheusrule" not in rendered(load_environment("production", {"pod_monitor": {"rules": False}}))


@pytest.mark.parametrize("name", environment_names())
def test_no_committed_environment_has_a_node_port(name):
    assert rendered(load_environment(name))["service"]["spec"]["type"] == "ClusterIP"


# GPU


def test_one_setting_schedules_the_pods_on_nodes_with_gpus():
    deployment = rendered(load_environment("production", {"gpu": {"count": 1}}))["deployment"]
    pod = pod_of(deployment)
    assert container_of(deployment)["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert pod["nodeSelector"] == {"nvidia.com/gpu.present": "true"}
    assert pod["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    assert pod["runtimeClassName"] == "nvidia"


def test_without_that_setting_no_object_requests_a_gpu(objects):
    pod = pod_of(objects["deployment"])
    assert not pod.keys() & {"nodeSelector", "tolerations", "runtimeClassName"}
