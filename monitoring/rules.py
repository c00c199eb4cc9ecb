"""What a rule of Prometheus is, and how groups of rules become a file."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

Severity = Literal["page", "ticket"]
"""Whether somebody must act now, or within a few days."""

RUNBOOK = "docs/operations.md"


@dataclass(frozen=True)
class Recording:
    """An expression that Prometheus evaluates regularly and stores as a series of its own."""

    record: str
    expression: str

    def document(self) -> dict[str, Any]:
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

    @property
    def runbook(self) -> str:
        """Where the runbook's paragraph about this alert is."""
        return f"{RUNBOOK}#{self.name.lower()}"

    def document(self) -> dict[str, Any]:
        """The rule as Prometheus reads it."""
        return {
            "alert": self.name,
            "expr": self.expression,
            "for": self.hold,
            "labels": {"severity": self.severity} | dict(self.labels),
            "annotations": {
                "summary": self.summary,
                "description": self.description,
                "runbook_url": self.runbook,
            },
        }


@dataclass(frozen=True)
class Group:
    """Rules that Prometheus evaluates one after another at the same times."""

    name: str
    interval: str
    rules: tuple[Recording | Alert, ...]

    def document(self) -> dict[str, Any]:
        """The group as Prometheus reads it."""
        return {
            "name": self.name,
            "interval": self.interval,
            "rules": [rule.document() for rule in self.rules],
        }


def rule_file(groups: Sequence[Group]) -> dict[str, Any]:
    """The content of a file of rules, which is also the `spec` of a PrometheusRule."""
    return {"groups": [group.document() for group in groups]}
