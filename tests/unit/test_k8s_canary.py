"""Canaries: their pods, their share of the requests, and how they differ from the stable version."""

from fractions import Fraction
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from k8s.environment.canary import canary_pods, canary_shares
from k8s.environment.loading import load_environment
from k8s.environment.sections import Environment
from k8s.rendering import render

DIGEST = "sha256:" + "5" * 64


def with_canary(name: str, version: str, weight: int, pods: tuple[int, int] = (2, 10)) -> Environment:
    return load_environment(
        name,
        {
            "canary": {"version": version, "weight": weight},
            "autoscaler": {"min_pods": pods[0], "max_pods": pods[1]},
        },
    )


def rendered(environment: Environment) -> dict[str, dict[str, Any]]:
    files = render(environment, "text-classifier manifests")
    return {name.removesuffix(".yaml"): yaml.safe_load(text) for name, text in files.items()}


# By replica share


@pytest.mark.parametrize(
    ("min_pods", "weight", "pods"),
    [(2, 10, 1), (2, 33, 1), (2, 50, 2), (2, 75, 6), (9, 10, 1), (10, 10, 1), (10, 33, 5), (3, 1, 1)],
)
def test_without_a_gateway_the_number_of_pods_approximates_the_weight(min_pods, weight, pods):
    assert canary_pods(with_canary("staging", "2", weight, (min_pods, 10))) == pods


@given(st.integers(2, 20), st.integers(1, 80))
def test_no_other_number_of_pods_is_closer_to_the_weight(min_pods, weight):
    pods = canary_pods(with_canary("staging", "2", weight, (min_pods, 100)))
    exact = Fraction(min_pods * weight, 100 - weight)
    assert pods == 1 or abs(pods - exact) <= Fraction(1, 2)


def test_the_share_of_one_canary_pod_shrinks_as_stable_pods_are_added():
    with_fewest, with_most = canary_shares(with_canary("staging", "2", 10, (2, 10)))
    assert (round(float(with_fewest), 3), round(float(with_most), 3)) == (0.333, 0.091)


def test_without_a_canary_all_requests_go_to_the_stable_version():
    environment = load_environment("staging")
    assert (canary_pods(environment), canary_shares(environment)) == (0, (0, 0))


def test_without_a_gateway_one_service_selects_both_tracks():
    objects = rendered(with_canary("staging", "2", 10))
    selector = objects["service"]["spec"]["selector"]
    for name in ("deployment", "deployment-canary"):
        assert selector.items() <= objects[name]["spec"]["template"]["metadata"]["labels"].items()
    assert "service-canary" not in objects


# By weight


@pytest.mark.parametrize(("weight", "pods"), [(1, 2), (10, 2), (21, 3), (50, 5), (99, 10)])
def test_behind_a_gateway_a_canary_has_its_share_of_the_maximum_and_at_least_two_pods(weight, pods):
    assert canary_pods(with_canary("production", DIGEST, weight)) == pods


def test_a_route_splits_the_requests_between_two_services_by_weight():
    objects = rendered(with_canary("production", DIGEST, 10))
    for rule in objects["httproute"]["spec"]["rules"]:
        assert rule["backendRefs"] == [
            {"name": "text-classifier", "port": 80, "weight": 90},
            {"name": "text-classifier-canary", "port": 80, "weight": 10},
        ]
    assert canary_shares(with_canary("production", DIGEST, 10)) == (Fraction(1, 10), Fraction(1, 10))


@pytest.mark.parametrize("canary", [False, True])
def test_behind_a_gateway_the_service_selects_only_the_stable_track(canary):
    environment = with_canary("production", DIGEST, 10) if canary else load_environment("production")
    objects = rendered(environment)
    assert objects["service"]["spec"]["selector"]["track"] == "stable"
    if canary:
        assert objects["service-canary"]["spec"]["selector"]["track"] == "canary"


def test_behind_a_gateway_each_service_selects_the_pods_of_its_track():
    objects = rendered(with_canary("production", DIGEST, 10))
    for suffix in ("", "-canary"):
        selector = objects[f"service{suffix}"]["spec"]["selector"]
        labels = objects[f"deployment{suffix}"]["spec"]["template"]["metadata"]["labels"]
        assert selector.items() <= labels.items()


# The canary's objects


@pytest.mark.parametrize(("name", "version"), [("production", DIGEST), ("staging", "2")])
def test_a_canary_does_not_change_the_stable_deployment(name, version):
    without, with_it = rendered(load_environment(name)), rendered(with_canary(name, version, 10))
    assert with_it["deployment"] == without["deployment"]


@pytest.mark.parametrize(("name", "version"), [("production", DIGEST), ("staging", "2")])
def test_no_selector_of_a_deployment_matches_the_pods_of_the_other_track(name, version):
    objects = rendered(with_canary(name, version, 10))
    stable, canary = objects["deployment"]["spec"], objects["deployment-canary"]["spec"]
    for one, other in ((stable, canary), (canary, stable)):
        selector = one["selector"]["matchLabels"].items()
        assert selector <= one["template"]["metadata"]["labels"].items()
        assert not selector <= other["template"]["metadata"]["labels"].items()


@pytest.mark.parametrize(
    ("version", "image"),
    [
        ("2", "registry.example.com/text-classifier:2"),
        (DIGEST, f"registry.example.com/text-classifier@{DIGEST}"),
    ],
)
def test_a_canary_is_another_version_of_the_same_repository(version, image):
    deployment = rendered(with_canary("staging", version, 10))["deployment-canary"]
    template = deployment["spec"]["template"]
    assert template["spec"]["containers"][0]["image"] == image
    assert template["metadata"]["labels"]["track"] == "canary"


def test_the_pods_of_a_canary_do_not_have_the_labels_of_the_stable_version():
    release = {"version": "1", "model": "imdb-sentiment:1", "model_digest": "7" * 64}
    overrides = {"release": release, "canary": {"version": "2", "weight": 10}}
    objects = rendered(load_environment("staging", overrides))
    for part in ("labels", "annotations"):
        stable, canary = (
            objects[name]["spec"]["template"]["metadata"][part]
            for name in ("deployment", "deployment-canary")
        )
        assert [key for key in stable if key.startswith("text-classifier/model")]
        assert not [key for key in canary if key.startswith("text-classifier/model")]


def test_each_track_asks_the_registry_as_its_own_reference_requires():
    objects = rendered(load_environment("staging", {"canary": {"version": DIGEST, "weight": 10}}))
    policies = [
        objects[name]["spec"]["template"]["spec"]["containers"][0]["imagePullPolicy"]
        for name in ("deployment", "deployment-canary")
    ]
    assert policies == ["Always", "IfNotPresent"]


def test_the_autoscaler_does_not_change_the_number_of_canary_pods():
    objects = rendered(with_canary("staging", "2", 50))
    assert objects["deployment-canary"]["spec"]["replicas"] == 2
    target = objects["horizontalpodautoscaler"]["spec"]["scaleTargetRef"]["name"]
    assert target == objects["deployment"]["metadata"]["name"]


@pytest.mark.parametrize(("name", "version"), [("production", DIGEST), ("staging", "2")])
def test_one_label_selects_everything_of_a_canary_for_deletion(name, version):
    without, with_it = rendered(load_environment(name)), rendered(with_canary(name, version, 10))
    added = [with_it[file] for file in with_it.keys() - without.keys()]
    assert added
    assert all(each["metadata"]["labels"]["track"] == "canary" for each in added)
