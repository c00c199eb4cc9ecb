"""Environments: how sections override each other, and the error for each broken rule."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from classifier.errors import ClassifierError
from k8s.environment.loading import ENVIRONMENTS_PATH, environment_names, load_environment
from k8s.environment.values import MAX_NAME_CHARACTERS, amount
from k8s.errors import InvalidEnvironment

DIGEST = "sha256:" + "5" * 64
RELEASE = {"version": "1", "model": "imdb-sentiment:1", "model_digest": "7" * 64}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A copy of the environments file that a test can change."""
    path = tmp_path / "environments.yaml"
    path.write_text(ENVIRONMENTS_PATH.read_text(encoding="utf-8"), encoding="utf-8")
    return path


# How sections override each other


def test_there_are_three_environments():
    assert environment_names() == ("production", "staging", "local")


def test_an_environment_overrides_the_defaults_and_keeps_their_other_keys():
    local, staging = load_environment("local"), load_environment("staging")
    assert (local.resources.requests.cpu, staging.resources.requests.cpu) == ("250m", "500m")
    assert local.resources.requests.ephemeral_storage == staging.resources.requests.ephemeral_storage


def test_given_sections_override_the_environment():
    assert load_environment("local", {"autoscaler": {"min_pods": 3}}).autoscaler.min_pods == 3


def test_the_configuration_of_an_environment_overrides_the_projects():
    config = load_environment("production").config
    assert (config.api.host, config.api.port, config.logging.format) == ("0.0.0.0", 3000, "json")  # noqa: S104


def test_an_environment_cannot_be_changed():
    environment = load_environment("local")
    with pytest.raises(ValueError, match="frozen"):
        environment.namespace = "other"


# Refused environments


def refusal(over: dict[str, Any], name: str = "local") -> str:
    with pytest.raises(InvalidEnvironment) as refused:
        load_environment(name, over)
    assert isinstance(refused.value, ClassifierError)
    return str(refused.value)


@pytest.mark.parametrize(
    ("over", "sentence"),
    [
        # Keys
        ({"autoscalr": {}}, "it has no key 'autoscalr'; the nearest is 'autoscaler'"),
        ({"rollout": {"revision": 1}}, "section 'rollout' has no key 'revision'; the nearest is 'revisions'"),
        (
            {"resources": {"limits": {"memmory": "1Gi"}}},
            "section 'resources.limits' has no key 'memmory'; the nearest is 'memory'",
        ),
        (
            {"autoscaler": {"profiles": {"steady": {"upp": {}}}}},
            "section 'autoscaler.profiles.steady' has no key 'upp'; the nearest is 'up'",
        ),
        ({"gpu": {"cont": 1, "count": 1}}, "section 'gpu' has no key 'cont'; the nearest is 'count'"),
        ({"config": {"apis": {}}}, "section 'config' has no key 'apis'; the nearest is 'api'"),
        ({"config": {"api": {"prot": 1}}}, "section 'config.api' has no key 'prot'; the nearest is 'port'"),
        ({"gpu": {}}, "gpu.count is missing; it has no default"),
        # Names
        (
            {"name": "Text_Classifier"},
            "name is 'Text_Classifier': a DNS label has at most 63 of a-z, 0-9 and '-', "
            "with a letter or a digit at both ends",
        ),
        ({"namespace": "-a"}, "namespace is '-a': a DNS label has "),
        ({"namespace": "a" * 64}, f"namespace is '{'a' * 64}': a DNS label has "),
        ({"namespace": ""}, "namespace is '': a DNS label has "),
        (
            {"name": "a" * 53},
            f"name is '{'a' * 53}': it has 53 characters; at most 52 are allowed, "
            "because some objects add a suffix",
        ),
        ({"name": "1a"}, "name is '1a': it must start with a letter, because it is the name of a Service"),
        # Quantities
        (
            {"resources": {"requests": {"cpu": "half"}}},
            "resources.requests.cpu is 'half': a quantity is a number above 0, as in 500m, 2 or 1Gi",
        ),
        (
            {"resources": {"requests": {"memory": "1GB"}}},
            "resources.requests.memory is '1GB': a quantity is ",
        ),
        ({"resources": {"requests": {"memory": "0"}}}, "resources.requests.memory is '0': a quantity is "),
        (
            {"resources": {"requests": {"memory": "-1Gi"}}},
            "resources.requests.memory is '-1Gi': a quantity is ",
        ),
        (
            {"resources": {"requests": {"cpu": "1500m"}, "limits": {"cpu": "1"}}},
            "resources.requests.cpu is '1500m'; it must be at most resources.limits.cpu, '1'",
        ),
        (
            {"resources": {"requests": {"memory": "1.1Gi"}, "limits": {"memory": "1100M"}}},
            "resources.requests.memory is '1.1Gi'; it must be at most resources.limits.memory, '1100M'",
        ),
        (
            {"resources": {"temporary": "1Gi"}},
            "resources.temporary is '1Gi'; it must be at most resources.limits.ephemeral_storage, '256Mi'",
        ),
        # Images
        (
            {"image": {"reference": "text-classifier"}},
            "image.reference is 'text-classifier': an image is repository:tag with a tag other than latest, "
            "or repository@sha256:digest",
        ),
        (
            {"image": {"reference": "example.com/a:latest"}},
            "image.reference is 'example.com/a:latest': an image",
        ),
        (
            {"image": {"reference": "example.com/a@sha256:12"}},
            "image.reference is 'example.com/a@sha256:12': ",
        ),
        ({"image": {"reference": "Example/A:1"}}, "image.reference is 'Example/A:1': an image is "),
        ({"image": {"reference": 1}}, "image.reference is 1: an image is "),
        ({"image": {"reference": "sha256:12"}}, "image.reference is 'sha256:12': an image is "),
        (
            {"image": {"reference": "a:1"}, "canary": {"version": "1", "weight": 10}},
            "canary.version is '1'; it must differ from the version of the image",
        ),
        (
            {"image": {"pull_policy": "Never"}},
            "image.pull_policy is 'Never': Input should be 'Always' or 'IfNotPresent'",
        ),
        # The model
        (
            {"release": RELEASE | {"model": "reviews:1"}},
            "config.model is 'imdb-sentiment:latest', and the image contains 'reviews:1' (release.model); "
            "both must be the same model",
        ),
        (
            {"release": RELEASE, "config": {"model": {"version": "2"}}},
            "config.model is 'imdb-sentiment:2', and the image contains ",
        ),
        # The autoscaler
        (
            {"autoscaler": {"min_pods": 6}},
            "autoscaler.min_pods is 6; it must be at most autoscaler.max_pods, 5",
        ),
        (
            {"autoscaler": {"min_pods": 1}},
            "autoscaler.min_pods is 1: Input should be greater than or equal to 2",
        ),
        (
            {"autoscaler": {"profile": "brust"}},
            "autoscaler.profile is 'brust'; it must be in autoscaler.profiles, and the nearest is 'burst'",
        ),
        ({"autoscaler": {"cpu_percent": 101}}, "autoscaler.cpu_percent is 101: Input should be less than"),
        # The canary
        (
            {"canary": {"version": "2", "weight": 0}},
            "canary.weight is 0: Input should be greater than or equal to 1",
        ),
        (
            {"canary": {"version": "2", "weight": 100}},
            "canary.weight is 100: Input should be less than or equal to 99",
        ),
        (
            {"canary": {"version": "2", "weight": 90}},
            "canary.weight is 90; with autoscaler.min_pods, 2, it takes 18 pods, "
            "and the most is autoscaler.max_pods, 5",
        ),
        (
            {"canary": {"version": "a:b", "weight": 10}},
            "canary.version is 'a:b': a version is a tag of the image's repository other than latest, "
            "or sha256:digest",
        ),
        ({"canary": {"version": "latest", "weight": 10}}, "canary.version is 'latest': a version is "),
        # The configuration
        (
            {"config": {"api": {"port": 0}}},
            "config.api.port is 0: Input should be greater than or equal to 1",
        ),
        ({"config": {"logging": {"format": "xml"}}}, "config.logging.format is 'xml': Input should be "),
        ({"config": 5}, "config is 5: Input should be a valid dictionary"),
        (
            {"config": {"api": {"host": "127.0.0.1"}}},
            "config.api.host is '127.0.0.1'; it must be '0.0.0.0', where the server in the image listens "
            "whatever the configuration says",
        ),
        # API keys
        ({"api_keys": {"secret": "a_b"}}, "api_keys.secret is 'a_b': a DNS name consists of "),
        ({"api_keys": {"secret": "Keys"}}, "api_keys.secret is 'Keys': a DNS name consists of "),
        ({"api_keys": {"secret": ""}}, "api_keys.secret is '': a DNS name consists of "),
        (
            {"api_keys": {"secret": "a." + "b" * 64}},
            f"api_keys.secret is 'a.{'b' * 64}': a DNS name consists of ",
        ),
        (
            {"api_keys": {"secret": "a" + ".a" * 127}},
            f"api_keys.secret is 'a{'.a' * 127}': a DNS name has at most 253 characters",
        ),
        ({"api_keys": {}}, "api_keys.secret is missing; it has no default"),
        ({"api_keys": {"secret": "a", "file": "b"}}, "section 'api_keys' has no key 'file'; the nearest is "),
        (
            {"api_keys": {"secret": "a", "key": "../keys"}},
            "api_keys.key is '../keys': a key of a Secret has at most 253 of A-Z, a-z, 0-9, '-', '_' and "
            "'.'; it is not '.' and does not start with '..'",
        ),
        ({"api_keys": {"secret": "a", "key": ""}}, "api_keys.key is '': a key of a Secret has "),
        ({"api_keys": {"secret": "a", "key": "."}}, "api_keys.key is '.': a key of a Secret has "),
        ({"api_keys": {"secret": "a", "key": "..a"}}, "api_keys.key is '..a': a key of a Secret has "),
        (
            {"config": {"api": {"keys_file": "/keys"}}},
            "config.api.keys_file is '/keys'; it must be empty, because a pod reads its keys from "
            "the Secret that api_keys names",
        ),
        (
            {"config": {"api": {"metrics_need_key": True}}},
            "config.api.metrics_need_key is true; it needs api_keys, which names the Secret with the hashes",
        ),
        # Time
        (
            {"config": {"batching": {"drain_seconds": 60}}},
            "shutdown.grace_seconds is 60; it must be at least 80: pre_stop_seconds 5, "
            "config.api.lame_duck_seconds 5, config.batching.drain_seconds 60 and margin_seconds 10",
        ),
        (
            {
                "rollout": {"progress_deadline_seconds": 60, "min_ready_seconds": 2},
                "probes": {"startup": {"initial_delay_seconds": 3, "period_seconds": 2, "failures": 30}},
            },
            "rollout.progress_deadline_seconds is 60; it must be above 65, "
            "the seconds that a pod may take to start and to count as ready",
        ),
        (
            {"probes": {"liveness": {"period_seconds": 5, "failures": 3}}},
            "probes.liveness can fail 3 times within 10 s; this must take longer than "
            "config.worker.max_silent_seconds, 10, "
            "or the container is killed before the service replaces a worker that hangs",
        ),
        (
            {"probes": {"liveness": {"timeout_seconds": 3}}},
            "probes.liveness.timeout_seconds is 3; it must be at most period_seconds, 2, "
            "or a container that hangs is noticed too late",
        ),
        # What a cluster's owner adds
        (
            {"image": {"pull_secrets": ["a_b"]}},
            "image.pull_secrets.0 is 'a_b': a DNS name consists of ",
        ),
        (
            {"labels": {"track": "canary"}},
            "labels is {'track': 'canary'}: 'track' cannot be added, because only the manifests set track "
            "and keys that start with app.kubernetes.io/, pod-security.kubernetes.io/, text-classifier/",
        ),
        (
            {"labels": {"team": "a b"}},
            "labels is {'team': 'a b'}: the value of a label has at most 63 of ",
        ),
        (
            {"labels": {"team/": "a"}},
            "labels is {'team/': 'a'}: 'team/' must have at most 63 of A-Z, a-z, 0-9, '-', '_' and '.', ",
        ),
        (
            {"pods": {"annotations": {"_/team": "a"}}},
            "pods.annotations is {'_/team': 'a'}: a DNS name consists of ",
        ),
        # The Service
        (
            {"service": {"node_port": 30080}},
            "service.node_port is 30080; it must be null if service.type is 'ClusterIP'",
        ),
    ],
)
def test_an_invalid_value_is_reported_with_its_key_and_the_rule(over, sentence):
    assert refusal(over).startswith(f"environment 'local': {sentence}")


@pytest.mark.parametrize(
    ("needs_key", "api_key", "broken"),
    [
        (True, None, "config.api.metrics_need_key is true and pod_monitor.api_key is not given"),
        (
            False,
            {"secret": "a", "key": "b"},
            "config.api.metrics_need_key is false and pod_monitor.api_key is given",
        ),
    ],
)
def test_prometheus_must_send_a_key_if_and_only_if_the_metrics_need_one(needs_key, api_key, broken):
    over = {
        "api_keys": {"secret": "a"},
        "config": {"api": {"metrics_need_key": needs_key}},
        "pod_monitor": {"api_key": api_key},
    }
    assert refusal(over, "production") == (
        f"environment 'production': {broken}; Prometheus must send a key exactly if the metrics need one"
    )


def test_a_collector_of_traces_without_an_endpoint_is_refused():
    over = {"tracing": {"namespace": "monitoring", "port": 4318}}
    assert refusal(over, "production") == (
        "environment 'production': tracing is given and config.tracing.endpoint is empty; "
        "it must be the address of the collector, such as http://collector.monitoring:4318"
    )


def test_an_endpoint_for_traces_that_the_network_policy_does_not_admit_is_refused():
    over = {"config": {"tracing": {"endpoint": "http://collector.monitoring:4318"}}}
    assert refusal(over, "production") == (
        "environment 'production': config.tracing.endpoint is 'http://collector.monitoring:4318' and tracing "
        "is null; it must name the namespace and the port of the collector's pods, because the network "
        "policy drops the spans otherwise"
    )


def test_the_page_of_runbooks_must_be_a_url():
    assert refusal({"pod_monitor": {"runbooks": "docs/operations.md"}}, "production") == (
        "environment 'production': pod_monitor.runbooks is 'docs/operations.md': "
        "the URL of a page begins with http:// or https:// and has no '#'"
    )


def test_a_pod_monitor_with_a_list_of_allowed_hosts_is_refused():
    over = {"config": {"api": {"allowed_hosts": ["classifier.example.com"]}}}
    assert refusal(over, "production") == (
        "environment 'production': config.api.allowed_hosts and pod_monitor are both given; one of them must "
        "be empty, because Prometheus scrapes each pod by its address, which is not an allowed host"
    )


def test_the_host_of_an_entry_point_must_be_allowed():
    over = {"config": {"api": {"allowed_hosts": ["other.example.com"]}}}
    assert refusal(over, "staging") == (
        "environment 'staging': ingress.host is 'classifier.staging.example.com'; "
        "it must be one of config.api.allowed_hosts"
    )
    over["config"]["api"]["allowed_hosts"].append("Classifier.staging.example.com")
    assert load_environment("staging", over).ingress is not None


def test_production_refuses_an_image_without_a_digest():
    assert refusal({"image": {"reference": "example.com/a:1"}}, "production") == (
        "environment 'production': the image is 'example.com/a:1'; "
        "it must be repository@sha256:digest (image.by_digest)"
    )


def test_production_refuses_a_canary_without_a_digest():
    message = refusal({"canary": {"version": "2", "weight": 10}}, "production")
    assert "the image is 'registry.example.com/text-classifier:2'; it must be " in message


def test_an_ingress_and_a_gateway_exclude_each_other():
    gateway = load_environment("production").gateway
    assert gateway is not None
    assert refusal({"gateway": gateway.model_dump()}, "staging") == (
        "environment 'staging': ingress is for 'classifier.staging.example.com' and gateway for "
        "'classifier.example.com'; one of them must be null, "
        "or a canary would not receive its share of the requests"
    )


def test_an_entry_point_without_sources_is_refused():
    assert refusal({"ingress": {"sources": {"namespace": None}}}, "staging") == (
        "environment 'staging': ingress.sources is empty; it must name the namespace of the pods that send "
        "the requests, or ranges of addresses, because the network policy refuses every other source"
    )


@pytest.mark.parametrize("addresses", ["10.0.0.1/16", "10.0.0.0/33", "load-balancer"])
def test_a_range_of_addresses_that_no_policy_can_have_is_refused(addresses):
    message = refusal({"gateway": {"sources": {"ranges": [addresses]}}}, "production")
    assert message.startswith(
        f"environment 'production': gateway.sources.ranges.0 is {addresses!r}: "
        "a range of addresses is written as in 10.0.0.0/16: "
    )


@pytest.mark.parametrize(
    ("addresses", "reason"),
    [
        ("10.0.0.1", "this range must be written as 10.0.0.1/32"),
        ("10.0.0.0/255.255.0.0", "this range must be written as 10.0.0.0/16"),
        ("10.0.0.0/0.0.255.255", "this range must be written as 10.0.0.0/16"),
        ("FE80::/64", "this range must be written as fe80::/64"),
        ("2001:0db8:0:0::/64", "this range must be written as 2001:db8::/64"),
        ("fe80::%eth0/64", "a NetworkPolicy takes no zone (the part from '%')"),
        ("::ffff:10.0.0.0/112", "the IPv4 addresses themselves must be given, not mapped to IPv6"),
        ("::ffff:a00:0/112", "the IPv4 addresses themselves must be given, not mapped to IPv6"),
    ],
)
def test_a_range_of_addresses_that_the_api_server_reads_differently_is_refused(addresses, reason):
    message = refusal({"gateway": {"sources": {"ranges": [addresses]}}}, "production")
    assert message.endswith(f"is {addresses!r}: a range of addresses is written as in 10.0.0.0/16: {reason}")


@pytest.mark.parametrize("addresses", ["10.0.0.0/16", "0.0.0.0/0", "10.0.0.1/32", "2001:db8::/64", "::/0"])
def test_a_range_of_addresses_in_its_usual_form_is_accepted(addresses):
    environment = load_environment("staging", {"ingress": {"sources": {"ranges": [addresses]}}})
    assert environment.ingress is not None
    assert environment.ingress.sources.ranges == (addresses,)


def test_a_host_that_is_not_a_dns_name_is_refused():
    assert refusal({"ingress": {"host": "a_b.example.com"}}, "staging") == (
        "environment 'staging': ingress.host is 'a_b.example.com': "
        "a DNS name consists of labels of a-z, 0-9 and '-' with dots between them"
    )


@pytest.mark.parametrize(
    ("name", "close"), [("prod", "production"), ("defaults", "production"), ("Local", "local")]
)
def test_an_unknown_environment_gets_a_suggestion(name, close):
    with pytest.raises(InvalidEnvironment, match="no environment") as refused:
        load_environment(name)
    assert str(refused.value) == f"environments.yaml has no environment {name!r}; the nearest is {close!r}"


@pytest.mark.parametrize("name", ["local/../x", "../x", "Local", "a b", "a" * 64, ""])
def test_an_environment_whose_name_cannot_be_a_part_of_its_namespace_is_refused(file, name):
    file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | {name: {}}))
    rule = "a DNS label has at most 63 of a-z, 0-9 and '-', with a letter or a digit at both ends"
    with pytest.raises(InvalidEnvironment) as refused:
        environment_names(file)
    assert str(refused.value) == f"{file}: an environment has the name {name!r}: {rule}"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a: [", " is not YAML: "),
        ("local: {}", " has no section 'defaults', which every environment is based on"),
        ("[]", " contains []; it must contain sections"),
        ("defaults: {}\nlocal: 5\n", ": section 'local' is 5; it must contain keys and values"),
    ],
)
def test_a_file_without_valid_environments_is_named(file, content, message):
    file.write_text(content)
    with pytest.raises(InvalidEnvironment, match=re.escape(f"{file}{message}")):
        load_environment("local", path=file)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InvalidEnvironment, match=r"none\.yaml cannot be read: No such file"):
        load_environment("local", path=tmp_path / "none.yaml")


def test_a_missing_key_of_a_section_is_reported(file):
    file.write_text(file.read_text().replace("  dns_namespace: kube-system\n", ""))
    with pytest.raises(InvalidEnvironment, match="environment 'local': dns_namespace is missing"):
        load_environment("local", path=file)


# Accepted values


@pytest.mark.parametrize(
    ("reference", "repository", "version"),
    [
        ("text-classifier:1", "text-classifier", ":1"),
        ("localhost:5000/a/b_c:V1.0", "localhost:5000/a/b_c", ":V1.0"),
        (f"example.com/a@{DIGEST}", "example.com/a", f"@{DIGEST}"),
        (f"example.com/a:latest@{DIGEST}", "example.com/a", f":latest@{DIGEST}"),
    ],
)
def test_an_image_is_read_as_repository_and_version(reference, repository, version):
    image = load_environment("local", {"image": {"reference": reference}}).image.reference
    assert (image.repository, str(image.version), str(image)) == (repository, version, reference)


def test_the_longest_allowed_name_fits_every_object():
    assert load_environment("local", {"name": "a" * MAX_NAME_CHARACTERS}).name


def test_a_request_may_equal_its_limit_in_another_unit():
    limits = {"requests": {"cpu": "1000m", "memory": "1024Mi"}, "limits": {"cpu": 1, "memory": "1Gi"}}
    environment = load_environment("local", {"resources": limits})
    assert environment.resources.limits.cpu == "1"


@given(st.integers(1, 10**6), st.sampled_from(["m", "", "k", "M", "G", "Ki", "Mi", "Gi"]))
def test_a_larger_number_of_the_same_unit_is_a_larger_amount(number, unit):
    assert amount(f"{number}{unit}") < amount(f"{number + 1}{unit}")
