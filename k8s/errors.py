"""The errors of rendering manifests; each is one sentence that names the thing, its value and the rule."""

from collections.abc import Collection, Iterable
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from classifier.errors import ClassifierError
from classifier.validation import nearest


class InvalidEnvironment(ClassifierError):
    """What an environment says cannot be rendered; nothing was written."""


class UnknownBento(ClassifierError):
    """The Bento is not in the store, or does not say what it holds."""


class StaleManifests(ClassifierError):
    """Files on disk are not what would be rendered."""


class UnwritableFolder(ClassifierError):
    """The folder cannot be replaced."""


def say_nearest(name: str, known: Collection[str]) -> str:
    """Says which known name `name` was most probably meant to be."""
    return f"the nearest is {nearest(name, known)!r}" if known else "there is none"


def first_broken_rule(error: ValidationError, model: type[BaseModel]) -> str:
    """The first error in one sentence; where a key is unknown, with the nearest that `model` has there."""
    broken = error.errors()[0]
    *section, key = broken["loc"]
    place = ".".join(map(str, broken["loc"]))
    if broken["type"] == "extra_forbidden":
        where = f"section {'.'.join(map(str, section))!r}" if section else "it"
        return f"{where} has no key {key!r}; {say_nearest(str(key), _keys(model, section))}"
    if broken["type"] == "missing":
        return f"{place} is missing; it has no default"
    return f"{place} is {broken['input']!r}: {broken['msg']}"


def _keys(model: type[BaseModel], section: Iterable[str | int]) -> list[str]:
    """The keys of the section that is so deep in `model`."""
    kind: Any = model
    for step in section:
        # A section is a model, perhaps or None, or a mapping from names to models.
        kind = get_args(kind)[-1] if get_origin(kind) is dict else kind.model_fields[step].annotation
        if get_origin(kind) in (Union, UnionType):
            kind = next(part for part in get_args(kind) if part is not NoneType)
    return list(kind.model_fields)
