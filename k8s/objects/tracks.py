"""The versions that run side by side: the stable one and, if there is one, the canary."""

from dataclasses import dataclass

from k8s.environment.canary import canary_pods
from k8s.environment.sections import Canary, Environment, Release
from k8s.environment.values import ImageReference
from k8s.objects.labels import CANARY, PREFIX, STABLE, VERSION, canary_name


@dataclass(frozen=True)
class Track:
    """What differs between the Deployments of the two tracks."""

    label: str
    name: str
    """The Deployment's name."""
    image: ImageReference
    replicas: int | None
    """None if an autoscaler sets the number."""
    labels: dict[str, str]
    """The version labels of the pods; no selector uses them."""
    annotations: dict[str, str]


def stable_track(environment: Environment) -> Track:
    """The version of the environment."""
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
    """The version that receives a part of the requests."""
    image = ImageReference(environment.image.reference.repository, canary.version)
    return Track(
        label=CANARY,
        name=canary_name(environment),
        image=image,
        replicas=canary_pods(environment),
        labels=_labels(image, canary.release),
        annotations=_annotations(image, canary.release),
    )


def tracks(environment: Environment) -> tuple[Track, ...]:
    """All tracks, the stable one first."""
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
