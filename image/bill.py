"""The Python packages of an image: their bill of materials, and what is known to be vulnerable of them."""

import subprocess
import sys
from pathlib import Path

import bentoml

from image.bento import ROOT, BuildError

UNREACHABLE = ("ConnectionError", "ConnectTimeout", "ReadTimeout", "ServiceError", "Max retries exceeded")
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


def audit() -> str | None:
    """Look the locked packages up among known vulnerabilities.

    Returns why that could not be done, or None; raises BuildError with what was found.
    """
    for layer in AUDITED:
        lock = ROOT / "requirements" / f"{layer}.txt"
        done = _run(
            "pip_audit",
            "--requirement",
            str(lock),
            "--require-hashes",
            "--disable-pip",
            "--progress-spinner",
            "off",
        )
        if done.returncode and any(name in done.stderr for name in UNREACHABLE):
            return done.stderr.strip().splitlines()[-1]
        if done.returncode:
            raise BuildError(f"pip-audit of {lock.name}: {done.stderr.strip()}\n{done.stdout.strip()}")
    return None


def _run(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", module, *arguments], capture_output=True, text=True, check=False
    )
