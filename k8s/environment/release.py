"""What a Bento of the BentoML store contains, as the `release` of an environment."""

from image.labels import COMMIT, MODEL, MODEL_DIGEST
from k8s.errors import UnknownBento

KEYS = {MODEL: "model", MODEL_DIGEST: "model_digest", COMMIT: "commit"}
"""The keys of `release`, by the label of the Bento that gives each its value."""

MAX_SHOWN_TAGS = 10


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
    missing = [label for label in KEYS if label not in bento.info.labels]
    if missing:
        raise UnknownBento(
            f"Bento {str(bento.tag)!r} has no label {missing[0]!r}; `make bento` sets {', '.join(KEYS)}"
        )
    release = {key: bento.info.labels[label] for label, key in KEYS.items()}
    return release | {"bento": str(bento.tag), "version": str(bento.tag.version)}
