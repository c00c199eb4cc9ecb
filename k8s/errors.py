"""The errors of rendering and deploying: one sentence each, with the thing, its value and the rule."""

from collections.abc import Iterable
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from classifier.errors import ClassifierError
from classifier.validation import first_error, unknown_key


class InvalidEnvironment(ClassifierError):
    """The environment cannot be rendered. Nothing was written."""


class UnknownBento(ClassifierError):
    """The Bento is not in the store, or its labels do not say what it contains."""


class StaleManifests(ClassifierError):
    """Files on disk differ from what would be rendered."""


class UnwritableFolder(ClassifierError):
    """The folder cannot be replaced."""


class DeploymentError(ClassifierError):
    """The cluster does not answer, or does not run what was deployed."""


class UnknownKind(DeploymentError):
    """The cluster has no objects of this kind."""


class ReadForbidden(DeploymentError):
    """The user of KUBECONFIG is not allowed to read this."""


class UnreadableImage(ClassifierError):
    """The labels of an image cannot be read from this machine."""


class WrongImage(ClassifierError):
    """The image contains something else than was said."""


def first_broken_rule(error: ValidationError, model: type[BaseModel]) -> str:
    """The first error as a sentence. For an unknown key, it names the nearest key that `model` has there."""
    broken = first_error(error)
    if broken.kind == "extra_forbidden":
        *section, key = broken.loc
        return unknown_key(key, _keys(model, section), ".".join(map(str, section)))
    if broken.kind == "missing":
        return f"{broken.place} is missing; it has no default"
    return f"{broken.place} is {broken.value!r}: {broken.rule}"


def _keys(model: type[BaseModel], section: Iterable[str | int]) -> list[str]:
    """The keys of a section of `model`, which is given as the path to it."""
    kind: Any = model
    for step in section:
        # A section is a model, a model or None, or a mapping of names to models.
        kind = get_args(kind)[-1] if get_origin(kind) is dict else kind.model_fields[step].annotation
        if get_origin(kind) in (Union, UnionType):
            kind = next(part for part in get_args(kind) if part is not NoneType)
    return list(kind.model_fields)
