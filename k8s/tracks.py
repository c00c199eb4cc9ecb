"""The versions that run side by side: the stable one and, where there is one, its canary."""

from dataclasses import dataclass

from k8s.canary import canary_pods
from k8s.environments import Canary, Environment, Release
from k8s.labels import CANARY, PREFIX, STABLE, VERSION, canary_name
from k8s.values import ImageReference


@dataclass(frozen=True)
class Track:
    """What tells the Deployments of two tracks from each other."""

    label: str
    name: str
    """Of the Deployment."""
    image: ImageReference
    replicas: int | None
    """None where an autoscaler sets them."""
    labels: dict[str, str]
    """What its pods say of their version; no selector asks for it."""
    annotations: dict[str, str]


def stable_track(environment: Environment) -> Track:
    """The version that the environment has."""
    image = environment.image.reference
    return Track(
        label=STABLE,
        name=environment.name,
        image=image,
        replicas=None,
        labels=_labels(image, environment.release),
        annotations=_annotations(image, environment.release),
    )


def canary_track(environment: Environment, canary: Canary) -> Track:
    """The version that gets a part of the requests."""
    image = ImageReference(environment.image.reference.repository, canary.version)
    return Track(
        label=CANARY,
        name=canary_name(environment),
        image=image,
        replicas=canary_pods(environment),
        labels=_labels(image, None),
        annotations=_annotations(image, None),
    )


def tracks(environment: Environment) -> tuple[Track, ...]:
    """All that run, the stable one first."""
    canary = (canary_track(environment, environment.canary),) if environment.canary else ()
    return stable_track(environment), *canary


def _labels(image: ImageReference, release: Release | None) -> dict[str, str]:
    if release is None:
        return {VERSION: image.version.label}
    return {VERSION: release.version, f"{PREFIX}/model-version": release.model_version}


def _annotations(image: ImageReference, release: Release | None) -> dict[str, str]:
    facts: dict[str, str | None] = {"image": str(image)}
    if release is not None:
        facts |= {
            "bento": release.bento,
            "commit": release.commit,
            "model": release.model,
            "model-digest": release.model_digest,
        }
    return {f"{PREFIX}/{name}": fact for name, fact in facts.items() if fact is not None}
