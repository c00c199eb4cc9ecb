"""Facts that several files repeat because they cannot read each other. They must agree."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from classifier.settings import load_settings
from image.engine import USER
from k8s.deployment import namespace_of
from k8s.environment.loading import environment_names, load_environment
from k8s.environment.rules import IMAGE_HOST
from k8s.objects.labels import APPLICATION

ROOT = Path(__file__).parents[2]


def text(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def tree(path: str) -> Any:
    return yaml.safe_load(text(path))


def only_match(pattern: str, path: str) -> str:
    """Return the text that the pattern's group matches; it must be the same everywhere in the file."""
    found = set(re.findall(pattern, text(path), re.MULTILINE))
    assert len(found) == 1, f"{path}: {pattern} matches {found or 'nothing'}"
    return str(found.pop())


# The image


def test_compose_runs_the_image_as_its_own_user():
    assert tree("compose.yaml")["services"]["text-classifier"]["user"] == f"{USER}:{USER}"


@pytest.mark.parametrize("name", environment_names())
def test_pods_run_the_image_as_its_own_user(name):
    deployment = tree(f"k8s/rendered/{name}/deployment.yaml")
    security = deployment["spec"]["template"]["spec"]["securityContext"]
    assert security["runAsUser"] == security["runAsGroup"] == security["fsGroup"] == int(USER)


def test_the_image_listens_where_bentoml_says_that_it_does():
    (port,) = tree("compose.yaml")["services"]["text-classifier"]["ports"]
    assert port.endswith(":3000")
    assert load_settings(ROOT / "config.yaml").api.port == 3000


def test_an_environment_must_have_the_host_that_the_image_sets():
    variables = {one["name"]: one["value"] for one in tree("bentofile.yaml")["envs"]}
    assert variables["CLASSIFIER__API__HOST"] == IMAGE_HOST


# The cluster


def test_kind_maps_the_port_that_the_cluster_tests_use():
    (mapping,) = tree(".github/kind.yaml")["nodes"][0]["extraPortMappings"]
    port = int(only_match(r"^NODE_PORT = (\d+)$", "tests/cluster/cluster.py"))
    assert mapping["containerPort"] == mapping["hostPort"] == port


# The Makefile


@pytest.mark.parametrize("name", environment_names())
def test_the_commands_know_the_namespace_of_each_environment(name):
    namespace = load_environment(name).namespace
    assert namespace == namespace_of(name) == f"text-classifier-{name}"


@pytest.mark.parametrize("name", environment_names())
def test_the_commands_know_the_deployment_of_each_environment(name):
    assert load_environment(name).name == APPLICATION


def test_make_and_the_workflow_run_the_same_kube_score():
    version = r"zegl/kube-score/cmd/kube-score@(v[\d.]+)"
    assert only_match(version, "Makefile") == only_match(version, ".github/workflows/ci.yml")
