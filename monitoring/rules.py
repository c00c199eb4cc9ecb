"""What a rule of Prometheus is, and how groups of rules become a file."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from classifier.errors import ClassifierError

Severity = Literal["page", "ticket"]
"""Whether somebody must act now, or within a few days."""


@dataclass(frozen=True)
class RunbookPage:
    """The page with a paragraph for each alert, and the annotation of an alert that names it."""

    annotation: str
    address: str

    def paragraph(self, alert: str) -> str:
        """Where the paragraph about this alert is."""
        return f"{self.address}#{alert.lower()}"


RUNBOOK = RunbookPage("runbook", "docs/operations.md")
"""The page in this repository. Its annotation is not called `runbook_url`, because it is a path."""
_URL = re.compile(r"https?://[^\s/#]+[^\s#]*")
"""The name of an alert is added after a '#'."""


class NotARunbookUrl(ClassifierError):
    """The address of the published page is not a URL."""


def published_runbook(url: str) -> RunbookPage:
    """The same page at an address for browsers; raises NotARunbookUrl for anything else."""
    if not _URL.fullmatch(url):
        raise NotARunbookUrl(
            f"the page of runbooks is {url!r}; it must begin with http:// or https:// and have no '#'"
        )
    return RunbookPage("runbook_url", url)


@dataclass(frozen=True)
class Recording:
    """An expression that Prometheus evaluates regularly and stores as a series of its own."""

    record: str
    expression: str

    def document(self, _: RunbookPage) -> dict[str, Any]:
        """The rule as Prometheus reads it."""
        return {"record": self.record, "expr": self.expression}


@dataclass(frozen=True)
class Condition:
    """An expression and what its value must be. The expression alone has a value also while all is well."""

    expression: str
    comparison: str

    def __str__(self) -> str:
        return f"({self.expression}) {self.comparison}"


@dataclass(frozen=True)
class Alert:
    """A symptom that somebody should look at. All conditions must hold, for series with the same labels."""

    name: str
    severity: Severity
    conditions: tuple[Condition, ...]
    """The value of the first is the alert's value."""
    hold: str
    """How long the conditions must hold without a break; "0s" for the first evaluation."""
    summary: str
    description: str
    """Says what was found, with the value and the labels, and what it means."""
    labels: tuple[tuple[str, str], ...] = ()
    """Labels besides the severity and those of the expression."""

    @property
    def expression(self) -> str:
        """The conditions as one expression."""
        return "\nand ".join(map(str, self.conditions))

    def document(self, runbook: RunbookPage) -> dict[str, Any]:
        """The rule as Prometheus reads it."""
        return {
            "alert": self.name,
            "expr": self.expression,
            "for": self.hold,
            "labels": {"severity": self.severity} | dict(self.labels),
            "annotations": {
                "summary": self.summary,
                "description": self.description,
                runbook.annotation: runbook.paragraph(self.name),
            },
        }


@dataclass(frozen=True)
class Group:
    """Rules that Prometheus evaluates one after another at the same times."""

    name: str
    interval: str
    rules: tuple[Recording | Alert, ...]

    def document(self, runbook: RunbookPage) -> dict[str, Any]:
        """The group as Prometheus reads it."""
        return {
            "name": self.name,
            "interval": self.interval,
            "rules": [rule.document(runbook) for rule in self.rules],
        }


def rule_file(groups: Sequence[Group], runbook: RunbookPage) -> dict[str, Any]:
    """The content of a file of rules, which is also the `spec` of a PrometheusRule."""
    return {"groups": [group.document(runbook) for group in groups]}
