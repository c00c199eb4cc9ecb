"""Parts of PromQL expressions: selectors of the service's series, and windows of time."""

from dataclasses import dataclass

from classifier.errors import Refusal
from serving.routes import ROUTES
from serving.telemetry.catalogue import REFUSALS, REQUEST_DURATION, REQUESTS, Metric

UP = "up"
"""Prometheus' own series for each target: whether the last scrape succeeded, 1 or 0."""
ALERTS = "ALERTS"
"""Prometheus' own series for each alert that waits or fires."""
FIRING = 'alertstate="firing"'
CPU_SECONDS = "process_cpu_seconds_total"
MEMORY_BYTES = "process_resident_memory_bytes"
OPEN_FILES = "process_open_fds"
MAX_FILES = "process_max_fds"
START_TIME = "process_start_time_seconds"
"""These five are measured by prometheus-client, so the catalogue does not list them."""
PROCESS = (CPU_SECONDS, MEMORY_BYTES, OPEN_FILES, MAX_FILES, START_TIME)

MODEL_ROUTES = tuple(route.path for route in ROUTES if route.is_for_model)
"""The paths of the routes whose requests the model answers."""

OF_MODEL = f'route=~"{"|".join(MODEL_ROUTES)}"'
FAILED = 'status_class="5xx"'

CLIENT_TIMEOUT = f'reason="{Refusal.CLIENT_TIMEOUT}"'
"""A client that allowed less time than the service's own deadline. The answer is 504, but no failure."""
CLIENTS_FAULTS = (Refusal.SLOW_CLIENT, Refusal.CLIENT_TIMEOUT)
"""The reasons of refusals that no change of the service would prevent."""
SERVICES_REASONS = f'reason!~"{"|".join(CLIENTS_FAULTS)}"'

TARGET = "instance, pod"
"""The labels that name one target. Only the Prometheus operator sets the second."""

SLOW_SECONDS = 0.25
"""A successful answer that takes longer is slow. It is the bound of a bucket, so that it can be counted."""


@dataclass(frozen=True)
class Window:
    """A length of time, as PromQL and people write it."""

    text: str

    @property
    def seconds(self) -> int:
        """The same in seconds."""
        return int(self.text[:-1]) * {"m": 60, "h": 3600, "d": 86_400}[self.text[-1]]


@dataclass(frozen=True)
class Series:
    """The time series that have these labels."""

    matchers: tuple[str, ...]

    def of(self, name: str, *matchers: str) -> str:
        """The selector of the series of this name that also have the labels of `matchers`."""
        return f"{name}{{{','.join((*self.matchers, *matchers))}}}"

    def rate(self, name: str, window: str, *matchers: str, before: str = "0s") -> str:
        """What was added each second of the window that ended `before` this time, for each of the series."""
        return f"rate({self.of(name, *matchers)}{_range(window, before)})"

    def increase(self, name: str, window: str, *matchers: str, before: str = "0s") -> str:
        """What was added within the window, which ended `before` this time, for each of the series."""
        return f"increase({self.of(name, *matchers)}{_range(window, before)})"

    def quantile(self, share: float, histogram: Metric, window: str, by: str = "", *matchers: str) -> str:
        """The value that `share` of the observations do not exceed, for each value of the labels `by`."""
        labels = f"{by}, le" if by else "le"
        buckets = self.rate(bucket(histogram), window, *matchers)
        return f"histogram_quantile({share:g}, sum by ({labels}) ({buckets}))"

    def average(self, histogram: Metric, window: str, by: str) -> str:
        """The average observation, for each value of the labels `by`; nothing without observations."""
        observed = f"sum by ({by}) ({self.rate(count(histogram), window)})"
        return f"sum by ({by}) ({self.rate(total(histogram), window)}) / ({observed} > 0)"

    def requests(self, window: str, by: str) -> str:
        """Requests to the model each second."""
        return f"sum by ({by}) ({self.rate(REQUESTS.name, window, OF_MODEL)})"

    def failures(self, window: str, by: str) -> str:
        """Requests to the model each second that the service failed or refused.

        Those whose own timeout passed are subtracted. As part of the sum, they may also be missing, as from a
        target with an older version. Rates are estimates, so a difference could be slightly below 0.
        """
        failed = self.rate(REQUESTS.name, window, OF_MODEL, FAILED)
        passed = self.rate(REFUSALS.name, window, CLIENT_TIMEOUT)
        return f"clamp_min(sum by ({by}) ({failed} or -{passed}), 0)"

    def answers(self, window: str, by: str) -> str:
        """Successful answers of the model each second."""
        return f"sum by ({by}) ({self.rate(count(REQUEST_DURATION), window, OF_MODEL)})"

    def slow_answers(self, window: str, by: str) -> str:
        """Successful answers of the model each second that took longer than `SLOW_SECONDS`."""
        fast = self.rate(bucket(REQUEST_DURATION), window, OF_MODEL, f'le="{SLOW_SECONDS:g}"')
        return f"{self.answers(window, by)} - sum by ({by}) ({fast})"


def _range(window: str, before: str) -> str:
    return f"[{window}]" if before == "0s" else f"[{window}] offset {before}"


def bucket(histogram: Metric) -> str:
    """The name of the series that count the observations up to each bound."""
    return histogram.series[0]


def count(histogram: Metric) -> str:
    """The name of the series that count all observations."""
    return histogram.series[2]


def total(histogram: Metric) -> str:
    """The name of the series that add up all observations."""
    return histogram.series[1]
