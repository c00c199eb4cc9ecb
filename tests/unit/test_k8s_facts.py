"""Facts that several files repeat because they cannot read each other. They must agree."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from k8s.deployment import namespace_of
from k8s.environment.loading import environment_names, load_environment
from k8s.objects.labels import APPLICATION

ROOT = Path(__file__).parents[2]
DOCKERFILE = "image/Dockerfile.j2"


def text(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def tree(path: str) -> Any:
    return yaml.safe_load(text(path))


def only_match(pattern: str, path: str) -> str:
    """Return the text that the pattern's group matches; it must be the same everywhere in the file."""
    found = set(re.findall(pattern, text(path), re.MULTILINE))
    assert len(found) == 1, f"{path}: {pattern} matches {found or 'nothing'}"
    return str(found.pop())


# The image's user


def image_user() -> str:
    return only_match(r"^USER (\d+:\d+)$", DOCKERFILE)


def test_the_image_creates_the_user_and_group_that_it_runs_as():
    user = only_match(r"--uid (\d+)", DOCKERFILE)
    group = only_match(r"--gid (\d+)", DOCKERFILE)
    assert f"{user}:{group}" == image_user()


def test_compose_runs_the_image_as_its_own_user():
    assert tree("compose.yaml")["services"]["text-classifier"]["user"] == image_user()


@pytest.mark.parametrize("name", environment_names())
def test_pods_run_the_image_as_its_own_user(name):
    deployment = tree(f"k8s/rendered/{name}/deployment.yaml")
    security = deployment["spec"]["template"]["spec"]["securityContext"]
    assert f"{security['runAsUser']}:{security['runAsGroup']}" == image_user()
    assert security["fsGroup"] == security["runAsGroup"]


# The image


@pytest.mark.parametrize("path", ["cli/packaging.py", "image/bento.py"])
def test_the_code_names_the_base_image_that_the_image_is_built_on(path):
    named = set(re.findall(r"""["'](python:[^"']+)["']""", text(path)))
    assert named <= {tree("bentofile.yaml")["docker"]["base_image"]}


# The cluster


def test_kind_maps_the_port_that_the_cluster_tests_use():
    (mapping,) = tree(".github/kind.yaml")["nodes"][0]["extraPortMappings"]
    port = int(only_match(r"^NODE_PORT = (\d+)$", "tests/cluster/cluster.py"))
    assert mapping["containerPort"] == mapping["hostPort"] == port


# How the server stops


def graceful_seconds() -> int:
    return int(only_match(r'"--timeout-graceful-shutdown", "(\d+)"', DOCKERFILE))


def test_the_server_has_the_same_time_to_stop_inside_and_outside_the_image():
    seconds = only_match(r"^GRACEFUL_SHUTDOWN_SECONDS = (\d+)$", "serving/process/start.py")
    assert int(seconds) == graceful_seconds()


@pytest.mark.parametrize("name", environment_names())
def test_the_server_has_more_time_to_stop_than_lame_duck_and_drain_take(name):
    config = load_environment(name).config
    assert config.api.lame_duck_seconds + config.batching.drain_seconds < graceful_seconds()


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
