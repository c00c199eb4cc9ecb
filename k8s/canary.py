"""How many pods a canary has, and which part of the requests it really gets."""

import math
from fractions import Fraction

from k8s.environments import Autoscaler, Environment


def canary_pods(environment: Environment) -> int:
    """The pods of the canary, which no autoscaler changes; 0 where there is none."""
    if environment.canary is None:
        return 0
    pods = _pods_by_share if environment.gateway is None else _pods_by_route
    return pods(environment.autoscaler, environment.canary.weight)


def _pods_by_share(autoscaler: Autoscaler, weight: int) -> int:
    """Behind one Service each pod gets as much: beside `min_pods`, as near to `weight` as whole pods come."""
    return max(1, round(Fraction(autoscaler.min_pods * weight, 100 - weight)))


def _pods_by_route(autoscaler: Autoscaler, weight: int) -> int:
    """A route gives it `weight` percent whether it can or not: the pods for that part of `max_pods`.

    At least two, since a route does not leave out a track whose only pod is gone.
    """
    return max(2, math.ceil(Fraction(autoscaler.max_pods * weight, 100)))


def canary_shares(environment: Environment) -> tuple[Fraction, Fraction]:
    """The parts of the requests that the canary gets beside the fewest and the most stable pods."""
    if environment.canary is None:
        return Fraction(0), Fraction(0)
    if environment.gateway is not None:
        return Fraction(environment.canary.weight, 100), Fraction(environment.canary.weight, 100)
    pods, autoscaler = canary_pods(environment), environment.autoscaler
    return Fraction(pods, pods + autoscaler.min_pods), Fraction(pods, pods + autoscaler.max_pods)
