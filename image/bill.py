"""The Python packages of an image: their bill of materials, and what is known to be vulnerable of them."""

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import bentoml
from pydantic import BaseModel

from image.bento import ROOT, BuildError

AUDITED = ("serve", "network", "gpu")


def write_bill(bento: bentoml.Bento, folder: Path) -> Path:
    """Write the bill of the Bento's lock file; returns its path."""
    (lock,) = Path(bento.path_of("src/requirements")).glob("*.txt")
    folder.mkdir(parents=True, exist_ok=True)
    bill = folder / f"{bento.tag.version}.cdx.json"
    command = ["requirements", str(lock), "--output-reproducible", "--output-format", "JSON", "--output-file"]
    done = _run("cyclonedx_py", *command, str(bill))
    if done.returncode:
        raise BuildError(f"cyclonedx-py ended with {done.returncode}: {done.stderr.strip()}")
    return bill


@dataclass(frozen=True)
class Audit:
    """What a vulnerability service said of packages, each given as `name version`."""

    clean: frozenset[str]
    vulnerable: Mapping[str, tuple[str, ...]]
    """The ids of the vulnerabilities of each package that has any."""
    skipped: Mapping[str, str]
    """Why nothing was said of a package, by its name alone."""

    def __or__(self, other: "Audit") -> "Audit":
        return Audit(
            self.clean | other.clean,
            {**self.vulnerable, **other.vulnerable},
            {**self.skipped, **other.skipped},
        )


def audit() -> int:
    """Look every locked package up among known vulnerabilities; returns how many packages that were.

    Raises BuildError where one is vulnerable, and where a package could not be looked up.
    """
    found = Audit(frozenset(), {}, {})
    for layer in AUDITED:
        found |= _audit_lock(ROOT / "requirements" / f"{layer}.txt")
    audited = len(found.clean) + len(found.vulnerable)
    if found.vulnerable:
        each = "\n".join(f"{package}: {', '.join(ids)}" for package, ids in sorted(found.vulnerable.items()))
        raise BuildError(f"of {audited} packages audited, {len(found.vulnerable)} are vulnerable:\n{each}")
    if found.skipped:
        name, reason = next(iter(found.skipped.items()))
        raise BuildError(
            f"{audited} packages were audited and {len(found.skipped)} were not, {name} for one: {reason}; "
            "PIP_AUDIT_VULNERABILITY_SERVICE=osv asks another service"
        )
    return audited


def _audit_lock(lock: Path) -> Audit:
    done = _run(
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
    except ValueError as error:  # it ends without a report where the service does not answer
        last = (done.stderr.strip().splitlines() or [str(error)])[-1]
        raise BuildError(
            f"the packages of {lock.name} were not audited; pip-audit ended with {done.returncode}: {last}"
        ) from error


def read_report(text: str) -> Audit:
    """Read pip-audit's JSON; raises ValueError for anything else."""
    report = _Report.model_validate_json(text)
    looked_up = [package for package in report.dependencies if package.skip_reason is None]
    named = [(f"{package.name} {package.version}", package.vulns) for package in looked_up]
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


def _run(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", module, *arguments], capture_output=True, text=True, check=False
    )
