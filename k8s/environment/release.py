"""What an image contains, as the `release` of an environment."""

from collections.abc import Mapping
from dataclasses import dataclass

from image.labels import (
    COMMIT,
    IMAGE_BENTO,
    IMAGE_COMMIT,
    IMAGE_MODEL,
    IMAGE_MODEL_DIGEST,
    MODEL,
    MODEL_DIGEST,
)
from k8s.environment.sections import Release
from k8s.environment.values import ImageReference
from k8s.errors import UnknownBento, UnreadableImage, WrongImage
from k8s.image_labels import read_labels

BENTO_KEYS = {MODEL: "model", MODEL_DIGEST: "model_digest", COMMIT: "commit"}
"""The keys of `release`, by the label of the Bento that gives each its value."""

IMAGE_KEYS = {
    IMAGE_BENTO: "bento",
    IMAGE_COMMIT: "commit",
    IMAGE_MODEL: "model",
    IMAGE_MODEL_DIGEST: "model_digest",
}
"""The keys of `release`, by the label of the image that gives each its value."""

MAX_SHOWN_TAGS = 10


@dataclass(frozen=True)
class Contents:
    """What an image contains, and how that is known."""

    release: dict[str, str] | None
    """None if it is not known."""
    remark: str
    """A sentence for the person who deploys."""


def contents_of(image: ImageReference, bento: str | None) -> Contents:
    """What the image contains by its own labels, or by those of the Bento if the image's cannot be read.

    Raises WrongImage if the image was made from another Bento, and UnknownBento.
    """
    try:
        labels = read_labels(image)
        release = _release_of(image, labels.values)
    except UnreadableImage as error:
        if bento is not None:
            remark = f"nothing was compared, and the pods get the labels of the Bento {bento}: {error}"
            return Contents(release_of(bento), remark)
        return Contents(
            None, f"nothing was compared, and the pods of {image} will not name its model: {error}"
        )
    if bento is not None and bento != release["bento"]:
        raise WrongImage(
            f"BENTO is {bento!r}, and {image} was made from {release['bento']!r}, as its labels say "
            f"({labels.source}); both must be the same"
        )
    return Contents(release, f"{image} contains {release['model']}, as its labels say ({labels.source})")


def compare(image: ImageReference, release: Release) -> str:
    """Compare a release that was written by hand with the image's labels; returns a remark as a sentence.

    Raises WrongImage if they differ.
    """
    try:
        found = _release_of(image, read_labels(image).values)
    except UnreadableImage as error:
        return f"nothing was compared with `release`: {error}"
    for key in IMAGE_KEYS.values():
        written = getattr(release, key)
        if written is not None and written != found[key]:
            raise WrongImage(
                f"release.{key} is {written!r}, and {image} has {found[key]!r}, as its labels say; "
                "both must be the same"
            )
    return f"{image} contains {release.model}, as `release` and its labels say"


def _release_of(image: ImageReference, labels: Mapping[str, str]) -> dict[str, str]:
    missing = [label for label in IMAGE_KEYS if label not in labels]
    if missing:
        raise UnreadableImage(f"{image} has no label {missing[0]!r}, which `make image` sets")
    release = {key: labels[label] for label, key in IMAGE_KEYS.items()}
    return release | {"version": release["bento"].partition(":")[2]}


def release_of(tag: str) -> dict[str, str]:
    """The `release` of an environment that runs this Bento.

    Raises UnknownBento if the store does not have it, if a label is missing, and if the tag has no version.
    """
    import bentoml
    from bentoml.exceptions import BentoMLException

    if ":" not in tag:
        raise UnknownBento(
            f"the Bento {tag!r} has no version; an image is made from one, as in {tag}:VERSION"
        )
    try:
        bento = bentoml.bentos.get(tag)
    except (BentoMLException, ValueError) as error:
        stored = sorted(str(bento.tag) for bento in bentoml.bentos.list())
        has = f"it has {', '.join(stored[:MAX_SHOWN_TAGS])}" if stored else "it is empty"
        raise UnknownBento(f"the BentoML store has no Bento {tag!r}; {has}") from error
    missing = [label for label in BENTO_KEYS if label not in bento.info.labels]
    if missing:
        raise UnknownBento(
            f"Bento {str(bento.tag)!r} has no label {missing[0]!r}; `make bento` sets {', '.join(BENTO_KEYS)}"
        )
    release = {key: bento.info.labels[label] for label, key in BENTO_KEYS.items()}
    return release | {"bento": str(bento.tag), "version": str(bento.tag.version)}
