"""How many pods a canary has, and which share of the requests it receives."""

import math
from fractions import Fraction

from k8s.environment.sections import Autoscaler, Environment


def canary_pods(environment: Environment) -> int:
    """The number of canary pods, which no autoscaler changes; 0 without a canary."""
    if environment.canary is None:
        return 0
    pods = _pods_behind_service if environment.gateway is None else _pods_behind_route
    return pods(environment.autoscaler, environment.canary.weight)


def _pods_behind_service(autoscaler: Autoscaler, weight: int) -> int:
    """The count closest to `weight` with `min_pods` stable pods. A Service gives all pods the same share."""
    return max(1, round(Fraction(autoscaler.min_pods * weight, 100 - weight)))


def _pods_behind_route(autoscaler: Autoscaler, weight: int) -> int:
    """The pods for `weight` percent of what `max_pods` can answer, because the route sends that much to them.

    There are at least two, because a route keeps sending requests to a track whose only pod is gone.
    """
    return max(2, math.ceil(Fraction(autoscaler.max_pods * weight, 100)))


def canary_shares(environment: Environment) -> tuple[Fraction, Fraction]:
    """The canary's share of the requests while the stable track has the fewest pods, and the most."""
    if environment.canary is None:
        return Fraction(0), Fraction(0)
    if environment.gateway is not None:
        return Fraction(environment.canary.weight, 100), Fraction(environment.canary.weight, 100)
    pods, autoscaler = canary_pods(environment), environment.autoscaler
    return Fraction(pods, pods + autoscaler.min_pods), Fraction(pods, pods + autoscaler.max_pods)
