"""What a Bento of the BentoML store says of itself."""

from k8s.errors import UnknownBento

LABELS = {"model": "model", "model-digest": "model_digest", "commit": "commit"}
"""A Bento's labels, and the keys of `release` that they give."""

SHOWN_TAGS = 10


def release_of(tag: str) -> dict[str, str]:
    """The `release` of an environment where this Bento runs; raises UnknownBento, also without a version."""
    import bentoml
    from bentoml.exceptions import BentoMLException

    if ":" not in tag:
        raise UnknownBento(f"the Bento {tag!r} has no version; an image is made of one, as in {tag}:VERSION")
    try:
        bento = bentoml.bentos.get(tag)
    except (BentoMLException, ValueError) as error:
        stored = sorted(str(bento.tag) for bento in bentoml.bentos.list())
        has = f"it has {', '.join(stored[:SHOWN_TAGS])}" if stored else "it is empty"
        raise UnknownBento(f"the BentoML store has no Bento {tag!r}; {has}") from error
    missing = [label for label in LABELS if label not in bento.info.labels]
    if missing:
        raise UnknownBento(
            f"Bento {str(bento.tag)!r} has no label {missing[0]!r}; `make bento` gives it {', '.join(LABELS)}"
        )
    release = {key: bento.info.labels[label] for label, key in LABELS.items()}
    return release | {"bento": str(bento.tag), "version": str(bento.tag.version)}
