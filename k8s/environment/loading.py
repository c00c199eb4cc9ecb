"""Reading environments: environments.yaml and config.yaml, merged and checked."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from classifier.settings import DEFAULT_CONFIG_PATH
from classifier.validation import first_error, say_nearest
from k8s.environment.rules import broken_rules
from k8s.environment.sections import Environment
from k8s.environment.values import DnsLabel
from k8s.errors import InvalidEnvironment, first_broken_rule

ENVIRONMENTS_PATH = Path(__file__).parents[1] / "environments.yaml"
DEFAULTS = "defaults"

_NAME = TypeAdapter(DnsLabel)


def environment_names(path: Path = ENVIRONMENTS_PATH) -> tuple[str, ...]:
    """The names of the environments in the file; raises InvalidEnvironment as `load_environment` does."""
    return tuple(name for name in _sections(path) if name != DEFAULTS)


def load_environment(
    name: str,
    overrides: Mapping[str, Any] | None = None,
    path: Path = ENVIRONMENTS_PATH,
    base: Mapping[str, Any] | None = None,
) -> Environment:
    """Read the environment of that name.

    `overrides` override the environment's section, which overrides the defaults. They override `base`, and
    its `config` overrides config.yaml. Raises InvalidEnvironment with the key, its value and the rule.
    """
    sections = _sections(path)
    if DEFAULTS not in sections:
        raise InvalidEnvironment(f"{path} has no section {DEFAULTS!r}, which every environment is based on")
    names = [known for known in sections if known != DEFAULTS]
    if name not in names:
        raise InvalidEnvironment(f"{path.name} has no environment {name!r}; {say_nearest(name, names)}")
    tree: dict[str, Any] = {"config": _read(DEFAULT_CONFIG_PATH)}
    for section in (base or {}, sections[DEFAULTS], sections[name], overrides or {}):
        tree = _merged(tree, section)
    try:
        environment = Environment.model_validate(tree)
    except ValidationError as error:
        raise InvalidEnvironment(f"environment {name!r}: {first_broken_rule(error, Environment)}") from error
    broken = next(broken_rules(environment), None)
    if broken is not None:
        raise InvalidEnvironment(f"environment {name!r}: {broken}")
    return environment


def _sections(path: Path) -> dict[str, Any]:
    """The defaults and the environments. A folder and a namespace have the name of an environment."""
    sections = _read(path)
    for name in sections:
        try:
            _NAME.validate_python(name)
        except ValidationError as error:
            rule = first_error(error).rule
            raise InvalidEnvironment(f"{path}: an environment has the name {name!r}: {rule}") from error
    return sections


def _read(path: Path) -> dict[str, Any]:
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidEnvironment(f"{path} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, ValueError) as error:
        raise InvalidEnvironment(f"{path} is not YAML: {error}") from error
    if not isinstance(tree, dict):
        raise InvalidEnvironment(f"{path} contains {tree!r}; it must contain sections")
    for name, section in tree.items():
        if not isinstance(section, dict):
            raise InvalidEnvironment(
                f"{path}: section {name!r} is {section!r}; it must contain keys and values"
            )
    return tree


def _merged(base: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `overrides`: mappings are merged at every depth, and any other value is replaced."""
    return {**base} | {
        key: _merged(base[key], value)
        if isinstance(value, Mapping) and isinstance(base.get(key), Mapping)
        else value
        for key, value in overrides.items()
    }
