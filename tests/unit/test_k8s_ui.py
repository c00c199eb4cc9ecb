"""The web client beside the service: its objects, and the rules of its section."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from fake_kubectl import Cluster

from k8s import preflight
from k8s.environment.loading import load_environment
from k8s.environment.sections import Environment
from k8s.errors import DeploymentError, InvalidEnvironment
from k8s.objects.ui import PORT
from k8s.rendering import render
from ui.settings import Settings

ROOT = Path(__file__).parents[2]
DIGEST = "sha256:" + "5" * 64
UI = {"image": f"registry.example.com/text-classifier-ui@{DIGEST}"}
KEYS = {"api_keys": {"secret": "text-classifier-keys"}}

Object = dict[str, Any]


def environment(name: str = "local", **overrides: Any) -> Environment:
    """An environment with a web client."""
    return load_environment(name, overrides | {"ui": UI | overrides.get("ui", {})})


def rendered(environment: Environment) -> dict[str, Object]:
    """The objects as Kubernetes reads them, by the stem of their file's name."""
    files = render(environment, "text-classifier manifests")
    return {name.removesuffix(".yaml"): yaml.safe_load(text) for name, text in files.items()}


def pod_of(objects: dict[str, Object]) -> Object:
    return objects["deployment-ui"]["spec"]["template"]["spec"]


def container_of(objects: dict[str, Object]) -> Object:
    (container,) = pod_of(objects)["containers"]
    return container


def labels_of_pods(deployment: Object) -> dict[str, str]:
    return deployment["spec"]["template"]["metadata"]["labels"]


@pytest.fixture(scope="module")
def objects() -> dict[str, Object]:
    return rendered(environment())


# Which environments have it


def test_only_local_has_a_web_client():
    with_ui = {name for name in ("production", "staging", "local") if load_environment(name).ui}
    assert with_ui == {"local"}


def test_without_the_section_there_is_no_object_of_it():
    assert not [name for name in rendered(load_environment("local", {"ui": None})) if name.endswith("-ui")]


def test_it_has_a_deployment_a_service_and_a_network_policy(objects):
    assert {name for name in objects if name.endswith("-ui")} == {
        "deployment-ui",
        "service-ui",
        "networkpolicy-ui",
    }


# Its pod


def test_its_selectors_match_its_pod_and_no_pod_of_the_service(objects):
    deployment = objects["deployment-ui"]
    for selector in (
        deployment["spec"]["selector"]["matchLabels"],
        objects["service-ui"]["spec"]["selector"],
        objects["networkpolicy-ui"]["spec"]["podSelector"]["matchLabels"],
    ):
        assert selector.items() <= labels_of_pods(deployment).items()
        assert not selector.items() <= labels_of_pods(objects["deployment"]).items()


def test_no_selector_of_the_service_matches_its_pod(objects):
    for selector in (
        objects["deployment"]["spec"]["selector"]["matchLabels"],
        objects["service"]["spec"]["selector"],
        objects["networkpolicy"]["spec"]["podSelector"]["matchLabels"],
        objects["poddisruptionbudget"]["spec"]["selector"]["matchLabels"],
    ):
        assert not selector.items() <= labels_of_pods(objects["deployment-ui"]).items()


def test_it_is_one_pod_that_is_replaced_after_the_next_one_is_ready(objects):
    spec = objects["deployment-ui"]["spec"]
    assert spec["replicas"] == 1
    assert spec["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}


def test_its_pod_meets_the_restricted_standard_as_the_services_pods_do(objects):
    (server,) = objects["deployment"]["spec"]["template"]["spec"]["containers"]
    service = objects["deployment"]["spec"]["template"]["spec"]
    assert pod_of(objects)["securityContext"] == service["securityContext"]
    assert container_of(objects)["securityContext"] == server["securityContext"]


def test_its_pod_has_no_token_and_not_the_account_of_the_service(objects):
    assert pod_of(objects)["automountServiceAccountToken"] is False
    assert "serviceAccountName" not in pod_of(objects)


def test_every_folder_that_it_may_write_to_is_bounded(objects):
    sizes = {volume["name"]: volume["emptyDir"]["sizeLimit"] for volume in pod_of(objects)["volumes"]}
    mounts = {mount["mountPath"]: mount["name"] for mount in container_of(objects)["volumeMounts"]}
    assert {path: sizes[name] for path, name in mounts.items()} == {"/tmp": "256Mi", "/jobs": "1Gi"}  # noqa: S108


def test_the_client_reads_its_settings_from_the_variables_of_its_container(objects, monkeypatch):
    for variable in container_of(objects)["env"]:
        monkeypatch.setenv(variable["name"], variable["value"])
    settings = Settings()
    assert settings.address == "http://text-classifier.text-classifier-local"
    assert settings.jobs_folder == Path("/jobs")
    assert settings.ui_max_jobs_bytes == 3 * 2**28


def test_its_address_of_the_service_has_the_services_name_and_port():
    objects = rendered(environment(service={"port": 8080}))
    (variable,) = [one for one in container_of(objects)["env"] if one["name"] == "CLASSIFIER_URL"]
    about = objects["service"]["metadata"]
    assert variable["value"] == f"http://{about['name']}.{about['namespace']}:8080"


def test_its_port_is_the_one_of_the_image(objects):
    assert container_of(objects)["ports"][0]["containerPort"] == PORT
    assert f"EXPOSE {PORT}\n" in (ROOT / "ui" / "Containerfile").read_text(encoding="utf-8")


def test_its_key_comes_from_its_own_secret():
    objects = rendered(environment(**KEYS, ui={"api_key": {"secret": "ui-key"}}))
    (variable,) = [one for one in container_of(objects)["env"] if one["name"] == "CLASSIFIER_API_KEY"]
    assert variable["valueFrom"] == {"secretKeyRef": {"name": "ui-key", "key": "key"}}


def test_the_code_that_its_pages_offer_names_the_public_address():
    objects = rendered(environment(ui={"public_url": "https://classifier.example.com"}))
    variables = {one["name"]: one.get("value") for one in container_of(objects)["env"]}
    assert variables["CLASSIFIER_UI_PUBLIC_URL"] == "https://classifier.example.com/"


def test_its_rollout_waits_longer_than_its_start_may_take(objects):
    startup, spec = container_of(objects)["startupProbe"], objects["deployment-ui"]["spec"]
    start_seconds = startup["initialDelaySeconds"] + startup["periodSeconds"] * startup["failureThreshold"]
    assert start_seconds < spec["progressDeadlineSeconds"]


def test_its_probes_request_the_path_that_needs_no_session(objects):
    container = container_of(objects)
    probes = [container[f"{probe}Probe"]["httpGet"] for probe in ("startup", "liveness", "readiness")]
    assert probes == [{"path": "/_stcore/health", "port": "http"}] * 3


def test_pull_policy_and_pull_secrets_are_those_of_the_environment():
    over = {"image": {"pull_secrets": ["registry"]}, "ui": {"image": "registry.example.com/ui:1"}}
    objects = rendered(environment(**over))
    assert pod_of(objects)["imagePullSecrets"] == [{"name": "registry"}]
    assert container_of(objects)["imagePullPolicy"] == "Always"


# The network


def test_a_browser_always_reaches_the_same_pod(objects):
    assert objects["service-ui"]["spec"]["sessionAffinity"] == "ClientIP"


def test_it_may_only_connect_to_dns_and_to_the_port_of_the_services_pods(objects):
    dns, service = objects["networkpolicy-ui"]["spec"]["egress"]
    assert {port["port"] for port in dns["ports"]} == {53}
    (peer,) = service["to"]
    assert peer["podSelector"]["matchLabels"].items() <= labels_of_pods(objects["deployment"]).items()
    (server,) = objects["deployment"]["spec"]["template"]["spec"]["containers"]
    assert [port["port"] for port in service["ports"]] == [server["ports"][0]["containerPort"]]


def test_without_a_host_only_its_namespace_may_connect_to_it():
    objects = rendered(environment("staging"))
    (rule,) = objects["networkpolicy-ui"]["spec"]["ingress"]
    assert rule["from"] == [{"podSelector": {}}]
    assert "ingress-ui" not in objects


def test_the_entry_point_may_connect_to_it_if_it_has_a_host():
    objects = rendered(environment("staging", ui={"host": "ui.example.com"}))
    service_rules = objects["networkpolicy"]["spec"]["ingress"]
    assert objects["networkpolicy-ui"]["spec"]["ingress"] == service_rules


def test_its_ingress_leads_every_path_of_its_host_to_its_service():
    over = {"ui": {"host": "ui.example.com", "annotations": {"example.com/timeout": "3600"}}}
    objects = rendered(environment("staging", **over))
    ingress, service = objects["ingress-ui"], objects["service-ui"]
    (rule,) = ingress["spec"]["rules"]
    (path,) = rule["http"]["paths"]
    assert (rule["host"], path["path"], path["pathType"]) == ("ui.example.com", "/", "Prefix")
    assert path["backend"]["service"]["name"] == service["metadata"]["name"]
    assert ingress["spec"]["tls"] == [{"hosts": ["ui.example.com"], "secretName": "text-classifier-tls"}]
    assert ingress["metadata"]["annotations"] == {"example.com/timeout": "3600"}


def test_streamlit_knows_the_host_of_its_entry_point():
    container = container_of(rendered(environment("staging", ui={"host": "ui.example.com"})))
    variables = {one["name"]: one["value"] for one in container["env"]}
    assert variables["STREAMLIT_BROWSER_SERVER_ADDRESS"] == "ui.example.com"


def test_its_route_connects_the_gateways_listener_to_its_service():
    objects = rendered(environment("production", ui={"host": "ui.example.com"}))
    spec, service = objects["httproute-ui"]["spec"], objects["service-ui"]
    (rule,) = spec["rules"]
    assert spec["hostnames"] == ["ui.example.com"]
    assert spec["parentRefs"] == objects["httproute"]["spec"]["parentRefs"]
    assert rule["matches"] == [{"path": {"type": "PathPrefix", "value": "/"}}]
    (port,) = service["spec"]["ports"]
    assert rule["backendRefs"] == [{"name": service["metadata"]["name"], "port": port["port"]}]


def test_the_entry_point_of_the_service_does_not_change_with_it():
    with_ui = rendered(environment("production", ui={"host": "ui.example.com"}))
    without = rendered(load_environment("production"))
    assert {name: with_ui[name] for name in without if name != "kustomization"} == {
        name: each for name, each in without.items() if name != "kustomization"
    }


# What is refused


@pytest.mark.parametrize(
    ("name", "overrides", "sentence"),
    [
        (
            "production",
            {"ui": {"image": "registry.example.com/ui:1"}},
            "ui.image is 'registry.example.com/ui:1'; it must be repository@sha256:digest (image.by_digest)",
        ),
        ("local", {"ui": {"image": "ui"}}, "ui.image is 'ui': an image is repository:tag"),
        (
            "local",
            {"ui": {"jobs": "2Gi"}},
            "ui.jobs is '2Gi' and ui.resources.temporary '256Mi'; together they must be at most "
            "ui.resources.limits.ephemeral_storage, '2Gi'",
        ),
        (
            "local",
            {"ui": {"resources": {"requests": {"memory": "2Gi"}}}},
            "ui.resources.requests.memory is '2Gi'; it must be at most ui.resources.limits.memory, '1Gi'",
        ),
        ("local", KEYS, "api_keys is given and ui.api_key is null; it must name the Secret"),
        (
            "local",
            {"config": {"api": {"allowed_hosts": ["classifier.example.com"]}}},
            "ui is given and config.api.allowed_hosts is ['classifier.example.com']; it must contain "
            "'text-classifier.text-classifier-local'",
        ),
        ("local", {"ui": {"host": "ui.example.com"}}, "ui.host is 'ui.example.com'; it needs ingress or"),
        (
            "staging",
            {"ui": {"host": "classifier.staging.example.com"}},
            "ui.host is 'classifier.staging.example.com'; it must differ from ingress.host",
        ),
    ],
    ids=[
        "a tag",
        "no tag",
        "jobs",
        "requests",
        "no key",
        "an unknown host name",
        "no entry point",
        "the host of the API",
    ],
)
def test_an_environment_that_cannot_work_is_refused(name, overrides, sentence):
    with pytest.raises(InvalidEnvironment) as refused:
        environment(name, **overrides)
    assert sentence in str(refused.value)


def test_it_may_use_all_but_the_reserve_of_its_volume_for_jobs():
    ui = environment(ui={"jobs": "1Gi"}).ui
    assert ui is not None
    assert ui.max_jobs_bytes == 3 * 2**28


def test_a_deployment_without_the_secret_of_its_key_is_refused(cluster: Cluster) -> None:
    cluster.answers("get Secret ui-key ", "")
    with pytest.raises(DeploymentError, match=r"there is no Secret 'ui-key' .* \(ui\.api_key\)"):
        preflight.check(environment(**KEYS, ui={"api_key": {"secret": "ui-key"}}))
