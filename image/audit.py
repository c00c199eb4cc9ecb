"""Checks the locked packages against known vulnerabilities with pip-audit."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

from classifier.runtimes import RUNTIMES
from image.bento import ROOT, BuildError
from image.tools import run_module

AUDITED = tuple(
    dict.fromkeys(
        lock
        for runtime in RUNTIMES.values()
        for lock in (runtime.lock_file, runtime.gpu_lock_file)
        if lock is not None
    )
)
"""The lock files that images are made from, relative to the root of the project."""


@dataclass(frozen=True)
class Audit:
    """What a vulnerability service reports about packages. Each package is given as `name version`."""

    clean: frozenset[str]
    vulnerable: Mapping[str, tuple[str, ...]]
    """The ids of the vulnerabilities of each vulnerable package."""
    skipped: Mapping[str, str]
    """The reason why a package was not audited, by the package's name without a version."""

    def __or__(self, other: "Audit") -> "Audit":
        return Audit(
            self.clean | other.clean,
            {**self.vulnerable, **other.vulnerable},
            {**self.skipped, **other.skipped},
        )


def audit() -> int:
    """Check every locked package against known vulnerabilities; returns the number of packages.

    Raises BuildError if a package is vulnerable, and if a package could not be audited.
    """
    found = Audit(frozenset(), {}, {})
    for lock in AUDITED:
        found |= _audit_lock(ROOT / lock)
    audited = len(found.clean) + len(found.vulnerable)
    if found.vulnerable:
        each = "\n".join(f"{package}: {', '.join(ids)}" for package, ids in sorted(found.vulnerable.items()))
        raise BuildError(f"of {audited} packages audited, {len(found.vulnerable)} are vulnerable:\n{each}")
    if found.skipped:
        name, reason = next(iter(found.skipped.items()))
        raise BuildError(
            f"{audited} packages were audited and {len(found.skipped)} were not, such as {name}: {reason}; "
            "PIP_AUDIT_VULNERABILITY_SERVICE=osv asks another service"
        )
    return audited


def _audit_lock(lock: Path) -> Audit:
    done = run_module(
        "pip_audit",
        "--requirement",
        str(lock),
        "--require-hashes",
        "--disable-pip",
        "--progress-spinner=off",
        "--format=json",
    )
    try:
        return read_report(done.stdout)
    except ValueError as error:  # There is no report if the vulnerability service does not answer.
        last = (done.stderr.strip().splitlines() or [str(error)])[-1]
        raise BuildError(
            f"the packages of {lock.name} were not audited; pip-audit ended with {done.returncode}: {last}"
        ) from error


def read_report(text: str) -> Audit:
    """Read pip-audit's JSON; raises ValueError for anything else."""
    report = _Report.model_validate_json(text)
    audited = [package for package in report.dependencies if package.skip_reason is None]
    named = [(f"{package.name} {package.version}", package.vulns) for package in audited]
    return Audit(
        clean=frozenset(name for name, vulnerabilities in named if not vulnerabilities),
        vulnerable={name: tuple(one.id for one in found) for name, found in named if found},
        skipped={
            package.name: package.skip_reason
            for package in report.dependencies
            if package.skip_reason is not None
        },
    )


class _Vulnerability(BaseModel):
    id: str


class _Package(BaseModel):
    name: str
    version: str | None = None
    vulns: tuple[_Vulnerability, ...] = ()
    skip_reason: str | None = None


class _Report(BaseModel):
    dependencies: tuple[_Package, ...]
