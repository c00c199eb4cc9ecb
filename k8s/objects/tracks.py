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
    release: Release | None
    """None if the contents of the image are not known."""

    @property
    def labels(self) -> dict[str, str]:
        """The labels of the pods that say what the image contains. No selector uses them."""
        if self.release is None:
            return {}
        return {VERSION: self.release.version, f"{PREFIX}/model-version": self.release.model_version}

    @property
    def annotations(self) -> dict[str, str]:
        """The annotations of the pods that say what the image contains."""
        if self.release is None:
            return {}
        facts = {
            "bento": self.release.bento,
            "commit": self.release.commit,
            "model": self.release.model,
            "model-digest": self.release.model_digest,
        }
        return {f"{PREFIX}/{name}": fact for name, fact in facts.items() if fact is not None}

    @property
    def cause(self) -> str:
        """What a person needs to tell its versions apart: the image and, if it is known, the model."""
        return ", ".join([self.image.short, *([f"model {self.release.model}"] if self.release else [])])


def stable_track(environment: Environment) -> Track:
    """The version of the environment."""
    return Track(
        label=STABLE,
        name=environment.name,
        image=environment.image.reference,
        replicas=None,
        release=environment.release,
    )


def canary_track(environment: Environment, canary: Canary) -> Track:
    """The version that receives a part of the requests."""
    return Track(
        label=CANARY,
        name=canary_name(environment),
        image=ImageReference(environment.image.reference.repository, canary.version),
        replicas=canary_pods(environment),
        release=None,
    )


def tracks(environment: Environment) -> tuple[Track, ...]:
    """All tracks, the stable one first."""
    canary = (canary_track(environment, environment.canary),) if environment.canary else ()
    return stable_track(environment), *canary
