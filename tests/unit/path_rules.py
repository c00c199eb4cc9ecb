"""Which paths a rendered entry point routes, matched as Gateway API and the Ingress API define it."""

from collections.abc import Mapping
from typing import Any

Rules = list[tuple[str, str]]
"""The type and the value of each match of a path."""


def rules_of(objects: Mapping[str, Any]) -> Rules:
    """The matches of the rendered Ingress or HTTPRoute."""
    if "ingress" in objects:
        (rule,) = objects["ingress"]["spec"]["rules"]
        return [(path["pathType"], path["path"]) for path in rule["http"]["paths"]]
    rules = objects["httproute"]["spec"]["rules"]
    return [(match["path"]["type"], match["path"]["value"]) for rule in rules for match in rule["matches"]]


def routes(rules: Rules, path: str) -> bool:
    """Whether a request for this path, without its query, is sent to the service."""
    return any(_MATCHERS[kind](path, value) for kind, value in rules)


def _is_exact(path: str, value: str) -> bool:
    return path == value


def _has_prefix(path: str, value: str) -> bool:
    """Case-sensitive, element by element; a slash at the end of either does not matter."""
    elements, prefix = path.rstrip("/").split("/"), value.rstrip("/").split("/")
    return elements[: len(prefix)] == prefix


_MATCHERS = {"Exact": _is_exact, "Prefix": _has_prefix, "PathPrefix": _has_prefix}
